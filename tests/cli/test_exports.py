"""`nwidth export` writes what Python writes."""

from pathlib import Path

import pytest

import nwidth as nw


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


def test_what_cannot_be_exported_is_refused(model, nwidth, tmp_path):
    said = nwidth("export", model, tmp_path / "block.txt")
    assert said.code == 2 and "ends in .c" in said.err
