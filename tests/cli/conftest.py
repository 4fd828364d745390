"""A small study, run once, for all tests of the command line."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nwidth.cli.app import app

STUDY = """
seed: 0
problem:   {kind: thermal_block, resolution: 8}
snapshots: {test: 4}
fit:       {kind: reduced-basis, tol: 1.0e-2, training: 20}
refine:    {rtol: 1.0e-6}
"""


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def nwidth() -> Callable[..., Said]:
    """Calls the command line in this process."""

    def call(*arguments: object) -> Said:
        result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        return Said(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, nwidth: Callable[..., Said]) -> Path:
    """The folder of a study that was run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "block.yaml").write_text(STUDY)
    assert nwidth("run", folder / "block.yaml", "--quiet").code == 0
    return folder
