"""The page on matrices from other programs: its code runs, and its bar is the bar in closed form."""

import re
from pathlib import Path

import numpy as np
from tests.rb.affine_cases import energy_error, exact

import nwidth as nw

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your_matrices.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found: dict = {"__name__": "page"}
    for block in blocks():
        exec(block, found)
    problem, answer = found["problem"], found["answer"]
    assert isinstance(answer.guarantee, nw.Rigorous)
    part = answer.take(np.arange(5))
    u = exact(problem, part.mu)
    assert (energy_error(problem, part.mu, u, part.field) <= part.bound).all()
    mean = u @ problem.quantities()["mean"].functional.astype(u.dtype)
    assert (np.abs((mean - part.outputs["mean"].values).astype(float)) <= part.outputs["mean"].limit).all()
    # -k T'' + h (T - 40) = q, T(0) = 40, T'(1) = 0
    x = np.linspace(0, 1, found["n"] + 1)
    for k, h, q, field in zip(part.mu["k"], part.mu["h"], part.mu["q"], part.field, strict=True):
        m = np.sqrt(h / k)
        closed = 40 + q / h * (1 - np.cosh(m * (1 - x)) / np.cosh(m))
        assert np.abs(field - closed).max() < 2e-5 * (closed.max() - 40)
    printed = capsys.readouterr().out
    assert "Guaranteed" in printed and "MinTheta" in printed and printed.rstrip().endswith("0.0")


def test_it_is_as_short_as_it_says():
    ours = blocks()[0].partition("one = np.ones(n + 1)\n")[2].partition("print(")[0]
    assert sum(bool(line.strip()) for line in ours.splitlines()) < 15


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([a-z_0-9/]+\.md)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
