"""`nwidth export` writes what Python writes."""

from pathlib import Path

import pytest

import nwidth as nw
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots


@pytest.fixture
def model(done) -> Path:
    return done / "block-results" / "block.nwidth"


def test_export_writes_what_python_writes(model, nwidth, tmp_path):
    out = tmp_path / "block.c"
    said = nwidth("export", model, out)
    assert said.code == 0
    assert out.read_text() == nw.rb.to_c(nw.load(model), name="block")
    assert "Guaranteed." in said.out and "Memory:" in said.out and str(out) in said.out.replace("\n", "")


def test_export_has_a_name_and_coefficients(model, nwidth, tmp_path):
    out = tmp_path / "block.c"
    said = nwidth("export", model, out, "--name", "plate", "--coefficients", "--json")
    assert said.json["file"] == str(out) and said.json["bytes"] == out.stat().st_size
    text = out.read_text()
    assert "unsigned int plate_predict(" in text and "double coefficients[PLATE_MODES]" in text


@pytest.fixture(scope="module")
def operator(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("operator") / "poisson.nwidth"
    problem = Poisson(8)
    mu = problem.parameters.sample(range(8), 0)
    runs = Snapshots(problem.parameters, problem.space, mu, problem.exact(mu))
    fitter = nw.operators.FNO(modes=2, width=4, layers=1, training=nw.Training(epochs=1))
    return nw.save(fitter.fit(runs, problem), path)


def test_an_operator_becomes_a_program_of_torch(operator, nwidth, tmp_path):
    said = nwidth("export", operator, tmp_path / "poisson.pt2", "--json")
    assert said.code == 0 and said.json["format"] == "torch" and said.json["limits"] is False
    assert said.json["bytes"] == (tmp_path / "poisson.pt2").stat().st_size > 0
    said = nwidth("export", operator, tmp_path / "poisson", "--format", "tar")
    assert said.code == 2 and "expected one of c, onnx, torch" in said.err


@pytest.mark.slow
def test_an_operator_becomes_an_onnx_file(operator, nwidth, tmp_path):
    said = nwidth("export", operator, tmp_path / "model", "--format", "onnx")
    assert said.code == 0 and "from the model's own answers" in said.out
    assert (tmp_path / "model").stat().st_size > 1000


def test_a_reduced_basis_is_no_operator(model, nwidth, tmp_path):
    said = nwidth("export", model, tmp_path / "block.onnx")
    assert said.code == 2 and "is no neural operator" in said.err and "nw.rb.to_c" in said.err


def test_what_cannot_be_exported_is_refused(model, nwidth, tmp_path):
    said = nwidth("export", model, tmp_path / "block.txt")
    assert said.code == 2 and "ends in .c" in said.err
