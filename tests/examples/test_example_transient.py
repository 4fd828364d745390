"""The example of the transient power module, and its limits against the full model."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from nwidth.core.guarantee import Rigorous
from nwidth.problems.power_module_transient import PowerModuleTransient

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "transient.py"


@pytest.mark.slow
def test_the_example_is_certified_and_right(capsys):
    found = runpy.run_path(str(EXAMPLE))
    answer, mu = found["answer"], found["mu"]
    assert isinstance(answer.guarantee, Rigorous) and answer.inside.all()
    limits = {name: output.limit[0] for name, output in answer.outputs.items()}
    assert all((limit < 0.5).all() for limit in limits.values())
    assert "chip 1" in capsys.readouterr().out
    # the first 15 s of the same cycle in full
    start = PowerModuleTransient(count=750, every=150, piece=1.0)
    short = {name: values if name == "k_interface" else values[:, :15] for name, values in mu.items()}
    fields, there = start.solve(short), found["certificate"].moved_to(start)
    ours = there.bound(there.surrogate.predict(short))
    for name, quantity in start.quantities().items():
        error = np.abs(fields @ quantity.functional - ours.outputs[name].values)
        assert (error <= ours.outputs[name].limit).all() and (error < 0.05).all()
    # the same state at the end of both halves' last full cycle of 45 s and 60 s: periodic, so the limit is, too
    first = limits["chip 1"][:10]
    assert first[5:].max() < 1.5 * first[:5].max()
