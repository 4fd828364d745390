"""The page on limits of outputs: its code runs, and its limits hold."""

import re
from pathlib import Path

import numpy as np
from tests.rb.affine_cases import exact, wide

import nwidth as nw

PAGE = Path(__file__).resolve().parents[2] / "docs" / "outputs.md"


def test_the_page():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    block, answer = found["block"], found["answer"]
    assert isinstance(answer.guarantee, nw.Rigorous)
    few = {name: values[:20] for name, values in answer.mu.items()}
    matrix = wide(found["outputs"]["mean square"].matrix)
    true = np.array([v @ (matrix @ v) for v in exact(block, few)])
    square = answer.outputs["mean square"]
    assert (np.abs(true - square.values[:20]) <= square.limit[:20]).all()
    assert square.limit.max() < 1e-4 * np.abs(square.values).max()


def test_its_links_lead_somewhere():
    for page in (PAGE, PAGE.parent / "stability.md"):
        for link in re.findall(r"\]\(([a-z_0-9/]+\.md)\)", page.read_text()):
            assert (page.parent / link).exists(), link
