"""The page on evidence runs as it stands, and says what the program does."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from nwidth.cli.app import app

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "evidence.md").read_text()


def test_the_page_on_evidence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, found)
    evidence = found["found"].evidence
    assert found["same"] is True and evidence.failing == ()
    assert capsys.readouterr().out == f"{evidence.verdict}\n"
    assert "0 fail" in evidence.verdict
    texts = " ".join(a.text for a in evidence.assumptions)
    for words in ("unaltered", "symmetric", "below the true error", "exact one", "asked alone"):
        assert words in texts


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^    nwidth (.+)$", PAGE, re.MULTILINE))))
def test_options_on_the_page_exist(command):
    found = get_command(app).commands[command.split()[0]]
    known = {name for parameter in found.params for name in parameter.opts}
    assert set(re.findall(r"(?<=\s)(--?[a-z]+)", command)) <= known
