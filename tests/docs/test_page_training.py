"""The page on training: its code runs, its table of losses and optimisers is that of `Training`."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import nwidth as nw
from nwidth.surrogates.training.config import LossName, OptimiserName, ScheduleName

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, found)
    history = found["surrogate"].history
    assert len(history.train) == 6 and history.validation[-1] < history.validation[0]
    assert found["taken_up"].history.train == found["again"].history.train == history.train
    states = (found[name].module.state_dict() for name in ("again", "taken_up"))
    for first, second in zip(*(state.values() for state in states), strict=True):
        assert torch.equal(first, second)


def test_every_word_is_explained():
    for word in (*get_args(LossName), *get_args(OptimiserName), *get_args(ScheduleName)):
        assert f'`"{word}"`' in PAGE or word == "auto", word


@pytest.mark.slow
def test_muon_against_adamw():
    """The table of optimisers: at equal epochs, Muon's error is well below AdamW's."""
    problem = nw.problems.get("darcy", resolution=24)
    runs, unseen = nw.generate(problem, 160, seed=0), nw.generate(problem, 32, seed=9)
    errors = {}
    for optimiser, rate in (("adamw", 2e-2), ("muon", 4e-2)):
        training = nw.Training(epochs=10, rate=rate, optimiser=optimiser)
        surrogate = nw.operators.FNO(modes=8, width=12, layers=4, training=training).fit(runs, problem, seed=0)
        off, truth = surrogate.predict(unseen.mu).field - unseen.fields, np.asarray(unseen.fields)
        errors[optimiser] = float(np.mean(np.linalg.norm(off, axis=(1, 2)) / np.linalg.norm(truth, axis=(1, 2))))
    assert errors["muon"] == pytest.approx(0.031, rel=0.2)
    assert errors["adamw"] == pytest.approx(0.053, rel=0.2)
