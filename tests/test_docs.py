"""The code of the documentation runs as it stands or in small, and what it computes is checked.

The pages on problems on grids and in time are run by tests/problems.
"""

import importlib
import re
from ast import literal_eval
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwidth.io.readers.base import read_arrays
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.snapshots.open import open_snapshots
from nwidth.solvers.direct import Direct
from nwidth.solvers.structure.solver import Structured

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(code: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "page"}
    for block in code:
        exec(block, found)
    return found


@pytest.fixture(scope="module")
def solvers() -> dict[str, Any]:
    return run(blocks("solvers.md"))


def test_the_page_on_solvers(solvers):
    own = blocks("solvers.md")[-1]
    assert sum(bool(line.strip()) for line in own.splitlines()) < 40
    assert solvers["answer"].converged.all()
    plate, answer = solvers["plate"], solvers["plates"]
    assert isinstance(plate, GridDiffusion)
    assert f"# {solvers['why']}\n" in own
    assert answer.converged.all()
    assert (answer.stats["bound"] <= 1.001e-6 * answer.stats["norm"]).all()
    mu = plate.parameters.sample(range(4), seed=0)
    solver = Direct()
    truth = solver.solve(solver.prepare(plate), mu).field
    error = np.sqrt(plate.systems(mu).energy(plate.space.flatten(truth - answer.field)))
    assert (error <= answer.stats["bound"]).all()


def test_the_plate_of_the_page_on_solvers_in_closed_form(solvers):
    """For a = 1: u = 2x/3 - x²/2, which differences of second order have exactly."""
    x = np.linspace(0, 1, 49)
    even = solvers["nw"].solve(solvers["plate"], np.ones((1, 49, 49))).field[0]
    np.testing.assert_allclose(even, np.repeat((2 * x / 3 - x**2 / 2)[:, None], 49, axis=1), atol=1e-8)


def test_the_options_on_the_page_on_solvers_are_those_of_the_classes():
    pytest.importorskip("pyamg")
    found = re.findall(r"`(nwidth[\w.]+)\.(\w+)\(([^`]*)\)`", (DOCS / "solvers.md").read_text())
    assert len(found) >= 8
    made = {"Direct()": Direct(), "Structured()": Structured()}
    for module, name, options in found:
        cls = getattr(importlib.import_module(module), name)
        said = [option.partition("=") for option in options.split(", ")]
        assert [option for option, _, _ in said] == [f.name for f in fields(cls)], name
        for field, (_, given, value) in zip(fields(cls), said, strict=True):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            written = made[value] if value in made else literal_eval(value) if given else MISSING
            assert written == default, f"{name}: {field.name}"


def in_small(code: str) -> str:
    """The page on generation with a coarse grid and few samples."""
    small = {
        "resolution=128": "resolution=12",
        "10_000": "40",
        "9_000": "36",
        "8_000": "32",
        "1_000": "4",
        "100,": "8,",
    }
    for old, new in small.items():
        assert old in code, f"the page on generation no longer says {old}: update this test"
        code = code.replace(old, new)
    return code


def test_the_page_on_generation(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    found = run([in_small("\n".join(blocks("generation.md")))])
    runs = found["runs"]
    assert [len(found[name]) for name in ("runs", "train", "test", "exact")] == [40, 36, 4, 8]
    assert found["solved"] == 40
    assert "multigrid" in runs.provenance["why"]
    assert (found["exact"].stats["residual"] <= 1e-12).all()
    np.testing.assert_array_equal(open_snapshots("darcy.zarr").fields, runs.fields)
    files = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.*") if path.is_file())
    assert files == [
        "darcy/darcy.yaml",
        *(f"darcy/data/{part}/darcy.hdf5" for part in ("test", "train", "valid")),
        "darcy/stats.yaml",
        "darcy_Train.hdf5",
        "darcy_test_13.pt",
        "darcy_train_13.pt",
    ]
    tensor = read_arrays(Path("out/darcy_Train.hdf5")).arrays["tensor"]
    np.testing.assert_array_equal(tensor[:, 0], np.asarray(runs.fields, dtype=np.float32))


@pytest.mark.parametrize("name", ["problem", "parameters", "solver", "why", "versions", "created", "wall_seconds"])
def test_the_provenance_that_the_page_on_generation_names(solvers, name):
    runs = solvers["nw"].generate(solvers["problem"], 1)
    assert f"`{name}`" in (DOCS / "generation.md").read_text()
    assert name in runs.provenance


def test_the_links_of_the_pages_lead_somewhere():
    for page in (*DOCS.rglob("*.md"), DOCS.parent / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} points to {target}"
