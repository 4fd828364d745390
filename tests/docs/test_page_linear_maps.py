"""The code of the page on linear maps runs, and what it computes holds."""

import re
from pathlib import Path

import numpy as np
import torch
from tests.linmaps.test_suite_catches import PAIRS

from nwidth.linmaps import kronecker, parameter_count, singular, sparse_low_rank, to_dense
from nwidth.linmaps.convert import _inflation as inflation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "linear_maps.md"


def test_the_page_on_linear_maps(capsys):
    found: dict = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for block in blocks:
        exec(block, found)
        if "small, error" in block:
            exact = np.linalg.svd(found["kernel"].real.detach().numpy(), compute_uv=False)
            rank = found["small"].rank
            np.testing.assert_allclose(found["error"], np.sqrt((exact[rank:] ** 2).sum() / (exact**2).sum()), rtol=1e-6)
            assert found["error"] <= 1e-4 and parameter_count(found["small"]) < 40_000 / 8
        if "product, tol" in block:
            assert type(found["found"]).__name__ == "Kronecker" and parameter_count(found["found"]) == 12**2 + 15**2
    assert "Achieved: LowRank" in capsys.readouterr().out
    own = blocks[-1].split("found, error")[0]
    assert sum(bool(line.strip()) for line in own.splitlines()) < 40
    suite = found["TestDiagonal"]()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()
    matrix = to_dense(found["found"]).detach()
    torch.testing.assert_close(matrix, torch.eye(200, dtype=torch.float64))


def test_the_numbers_on_the_page_are_those_of_the_code():
    text = PAGE.read_text()
    assert singular.DIRECT == 1024 and kronecker.ENTRIES == 2**26 and sparse_low_rank.ENTRIES == 2**22
    assert round(inflation(), 1) == 1.6
    words = {14: "fourteen", 15: "fifteen", 16: "sixteen", 17: "seventeen", 18: "eighteen"}
    kinds = {kind for _, kind in PAIRS}
    assert f"in {words[len(kinds)]} ways" in text, len(kinds)
