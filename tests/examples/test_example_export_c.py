"""The example of an exported file: the compiled program says what Python says."""

import runpy
from pathlib import Path

import numpy as np

import nwidth as nw

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "export_c.py"


def test_the_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(EXAMPLE))
    module, answer, chip = found["module"], found["answer"], found["chip"]
    truth = nw.solve(module, answer.mu).field[0] @ module.quantities()["chip 1"].functional
    assert isinstance(answer.guarantee, nw.Rigorous)
    assert abs(truth - chip.values[0]) <= chip.limit[0] + 1e-9 and chip.limit[0] < 0.01
    assert (tmp_path / "module.c").read_text() == found["text"]
    if found["compiled"] is not None:
        np.testing.assert_allclose(found["compiled"], [chip.values[0], chip.limit[0]], rtol=1e-9)
