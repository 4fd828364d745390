"""The example of a moving spot: the interpolation decays, no limit is missed, broken sensors cost what they say."""

import runpy
from pathlib import Path

import numpy as np

from nwidth.core.guarantee import Rigorous

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "moving_source.py"


def test_the_example():
    found = runpy.run_path(str(EXAMPLE))
    decay = found["conductivity"].errors
    assert decay[-1] <= 1e-5 * decay[0] and (decay[10::10] < decay[:-10:10] / 3).all()
    answer, error = found["answer"], found["error"]
    assert isinstance(answer.guarantee, Rigorous) and "interpolation" in answer.guarantee.covers
    assert (error <= answer.bound).all() and np.median(answer.bound / error) < 1.8
    assert found["loss"][0] < 0.02 and found["loss"][-1] < 0.1
    assert found["amplification"] == sorted(found["amplification"])
