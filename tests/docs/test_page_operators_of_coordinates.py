"""The code of the pages on the U-Net, DeepONet, POD-DeepONet and one's own modules runs, and what it computes holds."""

import re
from pathlib import Path

import pytest

import nwidth as nw
from nwidth.core.guarantee import Statistical
from nwidth.operators.unet import UNetwork

PAGES = Path(__file__).resolve().parents[2] / "docs" / "operators"


def run(name):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (PAGES / name).read_text(), re.DOTALL):
        exec(block, found)
    return found


def test_the_page_on_the_unet():
    found = run("unet.md")
    assert found["error"] < 0.1
    assert found["finer"].predict(found["test"].mu).field.shape == (16, 21, 21)
    sizes = nw.operators.UNet().architecture(type("Frame", (), {"dim": 2, "grid": (65, 65)})())
    assert (sizes.width, sizes.levels) == (16, 4)
    parameters = sum(p.numel() for p in UNetwork((1, 1), ("node", "node"), sizes).parameters())
    assert "2.8 million" in (PAGES / "unet.md").read_text() and round(parameters / 1e6, 1) == 2.8


def test_the_page_on_deeponet():
    found = run("deeponet.md")
    assert found["error"] < 0.25


def test_the_page_on_pod_deeponet():
    found = run("pod_deeponet.md")
    assert isinstance(found["answer"].guarantee, Statistical)
    assert 0.75 <= found["held"] <= 1


def test_the_page_on_modules_of_ones_own():
    found = run("wrap.md")
    comparison = found["comparison"]
    assert {row.name for row in comparison.rows} == {"my perceptron", "U-Net", "POD-DeepONet", "POD + kernel"}
    assert comparison["U-Net"].error == pytest.approx(sum(comparison["U-Net"].l2) / 2)
    assert "H1 error" in found["table"].csv()


@pytest.mark.parametrize("page", ["unet.md", "deeponet.md", "pod_deeponet.md", "wrap.md"])
def test_pictures_and_files_that_the_pages_name_exist(page):
    text = (PAGES / page).read_text()
    for target in re.findall(r"\]\((\.\./img/\w+\.svg)\)", text):
        assert (PAGES / target).is_file(), target
    for target in re.findall(r"`((?:examples|tests)/[\w/]+\.py)`", text):
        assert (PAGES.parents[1] / target).is_file(), target
