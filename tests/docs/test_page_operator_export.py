"""The page on exported operators: its code runs and its numbers hold."""

import re
from pathlib import Path

import numpy as np
import pytest

from nwidth.operators.export import OPSET

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operators" / "export.md").read_text()


@pytest.mark.slow
def test_the_page(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, found)
    written = found["written"]
    assert f"{written.inputs}, {written.output}, below 1e-5" in PAGE and written.error < 1e-5
    assert f"opset {OPSET} of ONNX" in PAGE
    expected = found["surrogate"].predict(found["mu"]).field
    np.testing.assert_allclose(found["fields"], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
