"""The code of the page on transport and waves runs, and what it says about its answers holds."""

import re
from pathlib import Path

import numpy as np
from tests.bounds.nonsymmetric_cases import error, exact

from nwidth.core.guarantee import Estimate, Rigorous

PAGE = Path(__file__).resolve().parents[2] / "docs" / "nonsymmetric.md"


def test_the_page_on_transport_and_waves(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    for problem, answer in (
        (found["problem"], found["answer"]),
        (found["problem"], found["refined"]),
        (found["waves"], found["proven"]),
    ):
        some = answer.take(slice(0, 6))
        u = exact(problem, some.mu)
        true = error(problem, some.mu, u, problem.space.flatten(some.field), some.guarantee.norm)
        low, high = some.interval
        assert isinstance(some.guarantee, Rigorous) and (low <= true).all() and (true <= high).all()
    assert (found["refined"].bound <= 1e-4 * found["refined"].stats["norm"]).all()
    assert isinstance(found["cheap"].guarantee, Estimate)
    assert np.isfinite(found["dual"].above).mean() > 0.95
    said = capsys.readouterr().out
    assert "Guaranteed distance (gradient norm)" in said and "smallest of 8 samples" in said


def test_its_links_lead_somewhere():
    text = PAGE.read_text()
    assert "@" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for link in re.findall(r"`((?:examples|benchmarks)/\w+\.py)`|python (benchmarks/\w+\.py)", text):
        assert (PAGE.parents[1] / (link[0] or link[1])).exists(), link
