"""The page on training: its code runs, its table of losses and optimisers is that of `Training`."""

import re
from pathlib import Path
from typing import get_args

import torch

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
