"""Running a study from Python: `nw.study.run("darcy.yaml")`."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwidth.core.errors import InputError
from nwidth.study.choices import choices
from nwidth.study.pipeline import CERTIFIED, REPORT, UPTO, steps_of
from nwidth.study.schema import Study, load_study
from nwidth.study.steps import Event, Listener, execute


@dataclass(frozen=True)
class Outcome:
    """How a study went: its steps by name, and where its model and report lie (None before their step)."""

    study: Study
    steps: Mapping[str, Event]
    model: Path | None
    report: Path | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        steps = {
            name: {"state": e.state.value, "seconds": e.seconds, "folder": e.folder, "summary": e.summary}
            for name, e in self.steps.items()
        }
        return {"study": self.study.name, "steps": steps, "model": self.model, "report": self.report}


def load(
    path: str | Path, overrides: Sequence[str] = (), *, seed: int | None = None, kinds: Sequence[type] = ()
) -> Study:
    """The checked study in a YAML file; `kinds` are classes of your own that it may name.

    Raises InputError that lists everything wrong at once.
    """
    return load_study(Path(path), choices(kinds), overrides, seed)


def run(study: Study, upto: str = "run", *, watched: bool = False, listen: Listener = lambda event: None) -> Outcome:
    """Do what is not done yet, up to a verb of the command line ("generate", "fit", ..., "run": everything).

    The model and the report are put at the top of the work folder. Raises InputError before any work, WorkError where
    work fails; what was complete stays, and the same call continues.
    """
    if upto not in UPTO:
        raise InputError(f"there is no verb {upto!r}; choose one of {', '.join(UPTO)}")
    steps = steps_of(study, watched)
    known = {step.name for step in steps}
    done = execute(steps, study.workdir, [name for name in UPTO[upto] if name in known], listen)
    return Outcome(study, done, _published_model(study, done), _published_report(study, done))


def _published_model(study: Study, done: Mapping[str, Event]) -> Path | None:
    if "certify" not in done:
        return None
    return _replace(done["certify"].folder / CERTIFIED, study.workdir / f"{study.name}.nwidth")


def _published_report(study: Study, done: Mapping[str, Event]) -> Path | None:
    if "report" not in done:
        return None
    (study.workdir / REPORT).mkdir(exist_ok=True)
    return _replace(done["report"].folder / REPORT / "index.html", study.workdir / REPORT / "index.html")


def _replace(source: Path, target: Path) -> Path:
    """A copy under a name that stays, complete at every moment."""
    temporary = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, temporary)
    temporary.replace(target)
    return target
