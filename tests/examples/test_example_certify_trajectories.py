"""The example of certified trajectories, and its limits against the solution."""

import runpy
from pathlib import Path

from nwidth.core.guarantee import Rigorous

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "certify_trajectories.py"


def test_the_limits_hold_and_a_sweep_sharpens_them(capsys):
    found = runpy.run_path(str(EXAMPLE))
    answer, errors, direct = found["answer"], found["errors"], found["direct"]
    assert isinstance(answer.guarantee, Rigorous) and "Guaranteed distance" in capsys.readouterr().out
    assert (errors <= answer.stats["in time"]).all() and (answer.stats["at least in time"] <= errors).all()
    worst = errors.max(axis=1)
    assert (answer.lower <= worst).all() and (worst <= answer.bound).all() and (answer.bound < 8 * worst).all()
    assert (answer.bound < direct.bound).all()
