"""The example on the interval of the true error runs, and the errors lie where it says."""

import runpy
from pathlib import Path

import nwidth as nw

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "error_interval.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    answer, rough = found["answer"], found["rough"]
    for one, error in ((answer, found["energy"]), (rough, found["l2"])):
        assert isinstance(one.guarantee, nw.Rigorous)
        assert (one.lower <= error).all() and (error <= one.bound).all()
    assert (answer.bound <= 1.2501 * answer.lower).all() and (answer.bound <= 1.2 * found["energy"]).all()
    assert (rough.bound <= 8 * found["l2"]).all()
    said = capsys.readouterr().out
    assert said.count("the error is between") == 6 and "L2 norm" in said
