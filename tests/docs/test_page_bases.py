"""The code of the page on bases runs, and what it computes holds."""

import re
from pathlib import Path

import numpy as np

import nwidth as nw
from nwidth.rb.pod_basis import _FEW
from nwidth.rb.streaming import Rule, State

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bases.md"


def test_the_page_on_bases(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    assert found["left_out"] <= found["basis"].lost <= 1e-4
    exact = np.linalg.svd(found["basis"].coefficients(found["dofs"]), compute_uv=False)
    count = len(exact)
    assert (found["low"][:count] <= exact * (1 + 1e-9)).all() and (exact <= found["high"][:count] * (1 + 1e-9)).all()
    streamed, problem, answer = found["streamed"], found["problem"], found["answer"]
    assert streamed.method == "streaming" and streamed.lost <= 1e-4
    u = nw.solve(problem, answer.mu).field
    error = np.sqrt(problem.systems(answer.mu).energy(problem.space.flatten(u - answer.field)))
    assert (error <= answer.bound).all()
    assert "Guaranteed" in capsys.readouterr().out


def test_the_numbers_on_the_page_are_those_of_the_code():
    text = PAGE.read_text()
    assert f"up to {_FEW} snapshots" in text
    state, rule = State(np.zeros((0, 1)), np.zeros(0), np.zeros(1), total=1.0), Rule(1.0, 1, True)
    assert (rule.spare(state), rule.spare_rest(state)) == (0.17, 1e-4)
    assert "0.17 tol²" in text and "(0.01 tol)²" in text and np.sqrt(0.81 + 0.17) + 0.01 <= 1


def test_its_links_lead_somewhere():
    for link in re.findall(r"`((?:examples|benchmarks)/\w+\.py)`|python (benchmarks/\w+\.py)", PAGE.read_text()):
        assert (PAGE.parents[1] / (link[0] or link[1])).exists(), link
