"""Every example and the README's code run as plain scripts, and what they compute is checked."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nwidth.core.guarantee import Rigorous
from nwidth.solvers.direct import Direct

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("own_*.py"))


def energy(problem, mu, e):
    systems = problem.systems(mu)
    flat = problem.space.flatten(e)
    return np.sqrt(np.einsum("bn,bn->b", flat, systems.apply(flat)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(ROOT / "examples" / name))
    problem, answer, exact = found["problem"], found["answer"], found["exact"]
    solver = Direct()
    truth = solver.solve(solver.prepare(problem), answer.mu).field
    error = energy(problem, answer.mu, truth - answer.field)
    size = energy(problem, answer.mu, truth - problem.systems(answer.mu).lift.reshape(truth.shape))
    assert isinstance(answer.guarantee, Rigorous) and answer.inside.all()
    assert (error <= answer.bound).all() and (error < 0.7 * size).all(), "better than no answer at all"
    assert (energy(problem, answer.mu, truth - exact.field) <= exact.bound).all()
    assert (exact.bound <= 1.01e-4 * size).all()
    if "again" in found:
        np.testing.assert_allclose(found["again"].predict(answer.mu).bound, answer.bound, rtol=1e-5)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_way_to_write_your_own_is_short(name):
    lines = [line for line in (ROOT / "examples" / name).read_text().splitlines() if line.strip()]
    assert len(lines) < 60


def readme_code() -> str:
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)


def run_script(code: str, folder: Path, timeout: float) -> str:
    script = folder / "readme.py"
    script.write_text(
        code + "\nprint(answer.guarantee, (again.predict(answer.mu).bound > 0).all(), exact.bound.max())\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_readme_runs_as_a_plain_script_in_small(tmp_path):
    code = readme_code()
    small = {
        "resolution=64": "resolution=16",
        "1000": "32",
        "FNO(modes=16, width=24)": "FNO(modes=4, width=4, training=nw.Training(epochs=2))",
    }
    for old, new in small.items():
        assert code.count(old) == 1, f"the README no longer says {old}: update this test"
        code = code.replace(old, new)
    assert "Guaranteed" in run_script(code, tmp_path, 300)


@pytest.mark.slow
def test_the_readme_runs_as_it_stands(tmp_path):
    assert "Guaranteed" in run_script(readme_code(), tmp_path, 1500)
