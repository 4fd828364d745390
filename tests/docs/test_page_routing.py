"""The code of the page on routing runs, and what it says of its numbers holds."""

import re
from pathlib import Path

import numpy as np

import nwidth as nw
from nwidth.solvers.direct import Direct
from nwidth.spaces.field_density import _BLOCKS, _MOST, FEWEST

PAGE = Path(__file__).resolve().parents[2] / "docs" / "routing.md"


def test_the_page_on_routing():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    assert found["shares"] == [1.0, 0.0, 0.0]
    assert found["why"] in " ".join(PAGE.read_text().split())
    assert found["alone"] > 0.5 and found["p_rougher"] < 1e-6 and found["p_same"] > 0.05
    answer, mix = found["answer"], found["mix"]
    assert (answer.stats["relative"] <= 0.01).all() and isinstance(answer.guarantee, nw.Rigorous)
    assert mix.surrogate + mix.refined + mix.solved == 100
    problem = found["problem"]
    truth = nw.solve(problem, answer.mu, Direct()).field
    systems, space = problem.systems(answer.mu), problem.space
    error = np.sqrt(systems.energy(space.flatten(truth - np.asarray(answer.field))))
    assert (error <= answer.bound * (1 + 1e-9)).all()


def test_the_numbers_on_the_page_are_those_of_the_code():
    text = " ".join(PAGE.read_text().split())
    assert f"blocks of {', '.join(map(str, _BLOCKS))} leading" in text
    assert f"at most {_MOST:,} training fields" in text and f"at least {FEWEST} fields" in text
