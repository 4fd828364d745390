"""The page on trajectories from anywhere: its code runs, and what it says about it holds."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trajectories.md"


def test_the_page_on_trajectories(capsys):
    found = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    judged, problem = found["judged"], found["problem"]
    free = problem.space.free.reshape(problem.space.shape)
    error = np.sqrt(np.sum((found["noise"] * free) ** 2, axis=(2, 3)) / 16**2)
    assert (judged.stats["at least in time"] <= error).all() and (error <= judged.stats["in time"]).all()
    assert (judged.bound < 2.5 * error.max(axis=1)).all() and (judged.lower > 0).all()
    assert "stores every 5-th level, and a limit needs all of them" in capsys.readouterr().out
