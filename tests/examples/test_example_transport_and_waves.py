"""The example on transport and waves runs, and its numbers hold."""

import runpy
from pathlib import Path

import numpy as np
from tests.bounds.nonsymmetric_cases import error, exact

from nwidth.core.guarantee import Rigorous

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "transport_and_waves.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE))
    flow, room = found["flow"], found["room"]
    for problem, answer in ((flow, found["answer"]), (flow, found["refined"]), (room, found["waves"])):
        some = answer.take(slice(0, 12))
        true = error(problem, some.mu, exact(problem, some.mu), problem.space.flatten(some.field), some.guarantee.norm)
        assert isinstance(answer.guarantee, Rigorous) and (true <= some.bound).all() and (some.lower <= true).all()
    refined = found["refined"]
    assert (refined.bound <= 1e-4 * refined.stats["norm"]).all()
    assert found["relative"].max() < 1 and found["known"].sum() >= 55
    assert np.median((found["waves"].bound / found["size"])[found["known"]]) < 0.5
    said = capsys.readouterr().out
    assert "gradient norm" in said and "intervals without a resonance" in said
