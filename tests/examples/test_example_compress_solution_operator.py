"""The example's errors are what it says, and the structure pays."""

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "compress_solution_operator.py"


def test_the_solution_operator_is_small(capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    rows = main()
    assert all(error <= tol for tol, _, _, error in rows)
    assert [kind for _, kind, _, _ in rows] == ["Kronecker"] * 3
    assert [count for _, _, count, _ in rows] == [2116, 4232, 5290]
    assert "error" in capsys.readouterr().out
