"""`inspect` says what a file holds and finds the samples that break an invariant."""

import json

import numpy as np
import pytest
from tests.io.test_model import example

from nwidth.core.errors import InputError
from nwidth.io.inspect import inspect
from nwidth.io.model import save


def test_the_public_darcy_file_and_its_corrupt_samples(nwidth_data):
    report = inspect(nwidth_data / "darcy_burgers_pt" / "darcy_train_16.pt", nonnegative=True)
    assert "tensors saved by torch" in report.lines[0]
    assert "x: 1000 x 16 x 16, bool, a mask" in report.lines
    assert report.violations[0].sample == 767
    assert report.violations[0].value == pytest.approx(-0.42788, abs=1e-5)
    assert [v.sample for v in report.violations if v.value < -1e-3] == [767, 529, 275, 973, 200, 49, 790, 501]
    assert "sample 767: down to -0.42788" in "\n".join(report.lines)
    json.dumps(report.to_dict())


def test_only_samples_below_zero_are_listed(tmp_path):
    values = np.ones((5, 3))
    values[1, 2], values[4, 0], values[3, 1] = -0.5, -2.0, np.nan
    np.save(tmp_path / "u.npy", values)
    report = inspect(tmp_path / "u.npy", nonnegative=True)
    assert [(v.sample, v.value) for v in report.violations] == [(4, -2.0), (1, -0.5)]
    assert report.arrays[0].not_finite == 1
    np.save(tmp_path / "u.npy", np.abs(np.nan_to_num(values)))
    assert inspect(tmp_path / "u.npy", nonnegative=True).lines[-1] == "No negative values."
    assert inspect(tmp_path / "u.npy").violations is None


def test_samples_across_blocks_keep_their_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("nwidth.io.inspect._BLOCK", 6)
    values = np.arange(40.0).reshape(20, 2)
    values[13, 1] = -1.0
    np.save(tmp_path / "u.npy", values)
    report = inspect(tmp_path / "u.npy", nonnegative=True)
    assert [(v.sample, v.value) for v in report.violations] == [(13, -1.0)]
    assert (report.arrays[0].low, report.arrays[0].high) == (-1.0, 39.0)


def test_a_table_a_model_a_store_and_a_stranger(tmp_path):
    (tmp_path / "t.dat").write_text("run,k [W/mK],T\na,1,-5\nb,2,6\n")
    report = inspect(tmp_path / "t.dat", nonnegative=True)
    assert report.holds == "a text table (CSV), 2 rows, 3 columns"
    assert "k [W/mK]: 2, float64, from 1 to 2" in report.lines
    assert [(v.array, v.sample) for v in report.violations] == [("T", 0)]

    model = inspect(save(example(), tmp_path / "m", provenance={"summary": ["Held on 37 of 40 unseen runs."]}))
    assert "my-node (of my-node)" in model.holds and "Held on 37 of 40 unseen runs." in model.lines
    with pytest.raises(InputError, match="is for data files"):
        inspect(tmp_path / "m", nonnegative=True)

    import zarr

    group = zarr.open_group(tmp_path / "store", mode="w")
    group.create_array("fields/u", data=np.array([[1.0, 2], [-3, 4], [0, 0]]))
    group.create_array("status", data=np.array([1, 1, 0]))
    store = inspect(tmp_path / "store", nonnegative=True)
    assert "2 of 3 samples are solved, 1 are still missing" in store.lines
    assert [(v.sample, v.value) for v in store.violations] == [(1, -3.0)]

    (tmp_path / "x").write_bytes(b"%PDF-1.7")
    assert inspect(tmp_path / "x").holds == "a PDF document; nwidth does not read it"


def test_the_other_public_files(nwidth_data):
    folder = inspect(nwidth_data / "elastic_block")
    assert "snapshots: 500 x 2692, float64, from -0.419503 to 0.349727" in folder.lines
    burgers = inspect(nwidth_data / "darcy_burgers_pt" / "burgers_train_16.pt")
    assert "y: 800 x 17 x 16, float64, from -0.830173 to 0.813369" in burgers.lines
    assert "pairs" not in "".join(inspect(nwidth_data / "holed_poisson" / "holed_poisson.pt").lines)
