"""The commands by name."""

from typing import Annotated

import typer

from nwidth._version import __version__
from nwidth.cli import either, files, studies
from nwidth.cli.demo import demo
from nwidth.cli.evidence import evidence
from nwidth.cli.exports import export

STUDIES, EITHER, FILES = "A whole study (one YAML file)", "A study, or single files", "Models and data files"

app = typer.Typer(
    name="nwidth",
    help=(
        "Solve your model a few times. Then answer any new case in microseconds, with a stated limit on the distance "
        "to your own solver."
    ),
    epilog="Exit codes: 0 done, 1 the work failed, 2 the request was wrong.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nwidth {__version__}")
        raise typer.Exit()


@app.callback()
def _nwidth(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options before a command."""


app.command("demo", rich_help_panel="First look")(demo)
app.command("run", rich_help_panel=STUDIES)(studies.run)
app.command("generate", rich_help_panel=STUDIES)(studies.generate)
app.command("report", rich_help_panel=STUDIES)(studies.report)
app.command("fit", rich_help_panel=EITHER)(either.fit)
app.command("certify", rich_help_panel=EITHER)(either.certify)
app.command("refine", rich_help_panel=EITHER)(either.refine)
app.command("evidence", rich_help_panel=EITHER)(evidence)
app.command("predict", rich_help_panel=FILES)(files.predict)
app.command("inspect", rich_help_panel=FILES)(files.inspect)
app.command("export", rich_help_panel=FILES)(export)


def main() -> None:
    """The command `nwidth`."""
    app()
