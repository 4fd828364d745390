"""The example of an ONNX file: its numbers."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "export_onnx.py"


@pytest.mark.slow
def test_the_file_answers_as_nwidth_does(capsys):
    found = runpy.run_path(str(EXAMPLE))
    assert found["deviation"] < 1e-5 and found["written"].error < 1e-5
    assert (found["found"][:, found["edge"]] == 0.0).all()
    truth = found["nw"].solve(found["problem"], found["mu"]).field
    error = np.linalg.norm((found["found"] - truth).reshape(64, -1), axis=1) / np.linalg.norm(
        truth.reshape(64, -1), axis=1
    )
    assert 0.01 < error.mean() < 0.25
    said = capsys.readouterr().out
    assert "opset 20; a (None, 33, 33) to fields (None, 33, 33)" in said
    assert "on the boundary 0\n" in said and "in a batch of 64" in said
