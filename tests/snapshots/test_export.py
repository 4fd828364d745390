"""Exported files: what is in them, as the libraries that own the formats would read it, and what is refused."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.snapshots.problems import NX, NY, Plane

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status
from nwidth.io.readers.base import read_arrays
from nwidth.problems.burgers import Burgers
from nwidth.problems.darcy import Darcy
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.export import export_snapshots
from nwidth.snapshots.generate import generate
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points

h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def darcy() -> Snapshots:
    return generate(Darcy(12, modes=16), 20, seed=1)


@pytest.fixture(scope="module")
def burgers() -> Snapshots:
    problem = Burgers(resolution=32, solver_resolution=128, levels=(0.0, 0.25, 0.5))
    return generate(problem, 6)


def grid_snapshots(fields: Any, mu: dict[str, Any] | None = None, space: Any = None, **others: Any) -> Snapshots:
    """Samples on a grid, their parameters as given, or one number."""
    mu = {"k": np.arange(len(fields), dtype=float)} if mu is None else mu
    box = Box(tuple(mu), 0.0, 1.0)
    return Snapshots(box, Grid((4, 6)) if space is None else space, mu, fields, **others)


def test_neuraloperator_files_hold_what_its_loader_takes(darcy, tmp_path):
    written = export_snapshots(darcy, tmp_path / "new", "neuraloperator", parts={"train": 15, "test": 5})
    assert [path.name for path in written] == ["darcy_train_13.pt", "darcy_test_13.pt"]
    train, test = (torch.load(path, weights_only=True) for path in written)
    assert train["x"].dtype == torch.bool
    assert train["y"].dtype == torch.float32
    a, u = np.asarray(darcy.mu["a"]), np.asarray(darcy.fields)
    for content, rows in ((train, slice(0, 15)), (test, slice(15, 20))):
        assert content["x"].shape == content["y"].shape == (len(u[rows]), 13, 13)
        values = np.where(content["x"].numpy(), content["x_high"].item(), content["x_low"].item())
        np.testing.assert_array_equal(values, a[rows])
        np.testing.assert_array_equal(content["y"].numpy(), u[rows].astype(np.float32))
    again = read_arrays(written[0])
    np.testing.assert_array_equal(again.arrays["y"], train["y"].numpy())
    assert "neuraloperator" in again.notes[0]


def test_neuraloperator_inputs_that_are_numbers_and_trajectories(burgers, tmp_path):
    (path,) = export_snapshots(burgers, tmp_path, "neuraloperator", name="waves", dtype="float64")
    assert path.name == "waves_train_32.pt"
    content = torch.load(path, weights_only=True)
    np.testing.assert_array_equal(content["x"].numpy(), np.asarray(burgers.mu["u0"])[:, ::4])  # finer than the fields
    np.testing.assert_array_equal(content["y"].numpy(), burgers.fields)
    np.testing.assert_allclose(content["x"].numpy(), content["y"].numpy()[:, 0], atol=1e-12)
    lognormal = generate(Darcy(8, law="log-normal", modes=8), 3)
    (path,) = export_snapshots(lognormal, tmp_path, "neuraloperator")
    np.testing.assert_array_equal(
        torch.load(path, weights_only=True)["x"].numpy(), np.asarray(lognormal.mu["a"]).astype(np.float32)
    )


def test_neuraloperator_keeps_a_scalar_that_is_the_same_for_all(tmp_path):
    mu = {"f": np.random.default_rng(0).normal(size=(5, 5, 7)), "visc": np.full(5, 0.01)}
    (path,) = export_snapshots(grid_snapshots(np.ones((5, 5, 7)), mu), tmp_path, "neuraloperator", name="a")
    content = torch.load(path, weights_only=True)
    assert path.name == "a_train_5x7.pt"
    assert content["visc"].shape == (1, 1)
    assert content["visc"].item() == 0.01


def test_pdebench_darcy_layout(darcy, tmp_path):
    (path,) = export_snapshots(
        darcy, tmp_path, "pdebench", name="2D_DarcyFlow_beta1.0", attributes={"beta": 1.0, "origin": "nwidth"}
    )
    assert path.name == "2D_DarcyFlow_beta1.0_Train.hdf5"
    with h5py.File(path) as file:
        assert sorted(file) == ["nu", "tensor", "x-coordinate", "y-coordinate"]
        assert file["tensor"].shape == (20, 1, 13, 13)
        assert file["tensor"].dtype == file["nu"].dtype == np.float32
        np.testing.assert_array_equal(file["tensor"][:, 0], np.asarray(darcy.fields).astype(np.float32))
        np.testing.assert_array_equal(file["nu"][...], darcy.mu["a"])
        np.testing.assert_allclose(file["y-coordinate"][...], np.linspace(0, 1, 13), rtol=1e-6)
        assert dict(file.attrs) == {"beta": 1.0, "origin": "nwidth"}
    again = read_arrays(path)
    np.testing.assert_array_equal(again.arrays["nu"], darcy.mu["a"])
    assert "attribute beta = 1.0" in again.notes


@pytest.mark.parametrize("levels", [(0.0, 0.25, 0.5), (0.25, 0.5)], ids=["with start", "without"])
def test_pdebench_trajectories_begin_with_the_initial_state(levels, tmp_path):
    snapshots = generate(Burgers(resolution=32, solver_resolution=64, levels=levels), 4)
    (path,) = export_snapshots(snapshots, tmp_path, "pdebench", attributes={"Nu": 0.1})
    with h5py.File(path) as file:
        assert file["tensor"].shape == (4, 3, 32)
        np.testing.assert_allclose(file["tensor"][:, 0], np.asarray(snapshots.mu["u0"])[:, ::2], atol=1e-6)
        np.testing.assert_array_equal(file["tensor"][:, -2:], np.asarray(snapshots.fields)[:, -2:].astype(np.float32))
        np.testing.assert_allclose(file["t-coordinate"][...], [0, 0.25, 0.5, 0.75])  # one longer than the tensor
        np.testing.assert_allclose(file["x-coordinate"][...], np.arange(32) / 32)
        assert file.attrs["Nu"] == 0.1


def test_the_well_layout_of_steady_fields(darcy, tmp_path):
    (folder,) = export_snapshots(darcy, tmp_path, "the_well", parts={"train": 15, "valid": 3, "test": 2})
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "darcy.yaml", "data/test/darcy.hdf5", "data/train/darcy.hdf5", "data/valid/darcy.hdf5", "stats.yaml",
    ]  # fmt: skip
    u, a = np.asarray(darcy.fields), np.asarray(darcy.mu["a"])
    with h5py.File(folder / "data/valid/darcy.hdf5") as file:
        assert file.attrs["dataset_name"] == "darcy"
        assert file.attrs["grid_type"] == "cartesian"
        assert (file.attrs["n_spatial_dims"], file.attrs["n_trajectories"]) == (2, 3)
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["x", "y"]
        np.testing.assert_array_equal(file["dimensions/time"], [0.0])
        field, coefficient = file["t0_fields/u"], file["t0_fields/a"]
        assert sorted(file["t0_fields"].attrs["field_names"]) == ["a", "u"]
        assert (field.attrs["sample_varying"], field.attrs["time_varying"]) == (True, True)
        assert (coefficient.attrs["sample_varying"], coefficient.attrs["time_varying"]) == (True, False)
        np.testing.assert_array_equal(field[:, 0], u[15:18].astype(np.float32))
        np.testing.assert_array_equal(coefficient[...], a[15:18])
        wall = file["boundary_conditions/y_wall_high"]
        assert (wall.attrs["bc_type"], wall.attrs["condition"]) == ("WALL", "dirichlet")
        np.testing.assert_array_equal(np.flatnonzero(wall["mask"]), [12])
    statistics = yaml.safe_load((folder / "stats.yaml").read_text())
    assert set(statistics) == {"mean", "std", "rms", "mean_delta", "std_delta", "rms_delta"}
    assert statistics["mean"]["a"] == pytest.approx(a[:15].mean(), rel=1e-6)
    assert statistics["std"]["u"] == pytest.approx(u[:15].std(), rel=1e-5)
    assert statistics["rms"]["u"] == pytest.approx(np.sqrt((u[:15] ** 2).mean()), rel=1e-5)
    description = yaml.safe_load((folder / "darcy.yaml").read_text())
    assert description["n_trajectories_per_file"] == [15, 3, 2]
    assert description["boundary_condition_types"] == ["WALL"]
    assert description["field_names"] == {0: ["u"], 1: [], 2: []}
    assert description["constant_field_names"] == {0: ["a"], 1: [], 2: []}


def test_the_well_layout_of_periodic_trajectories(burgers, tmp_path):
    (folder,) = export_snapshots(burgers, tmp_path, "the_well", attributes={"viscosity": 0.1})
    u = np.asarray(burgers.fields)
    with h5py.File(folder / "data/train/burgers.hdf5") as file:
        np.testing.assert_allclose(file["dimensions/time"], [0, 0.25, 0.5])
        np.testing.assert_array_equal(file["t0_fields/u"], u.astype(np.float32))
        assert file["boundary_conditions/x_periodic"].attrs["bc_type"] == "PERIODIC"
        assert list(file.attrs["simulation_parameters"]) == ["viscosity"]
        assert file.attrs["viscosity"] == 0.1
        assert file["scalars/viscosity"].shape == ()
    statistics = yaml.safe_load((folder / "stats.yaml").read_text())
    steps = np.diff(u, axis=1)
    assert statistics["std_delta"]["u"] == pytest.approx(steps.std(), rel=1e-5)
    assert statistics["mean_delta"]["u"] == pytest.approx(steps.mean(), abs=1e-7)
    assert statistics["rms_delta"]["u"] == pytest.approx(np.sqrt((steps**2).mean()), rel=1e-5)
    assert statistics["rms_delta"]["u0"] == 0


class Flow(Plane):
    """Two components that are a vector on NX x NY nodes, evenly spaced."""

    components = {"v_x": slice(0, NX * NY), "v_y": slice(NX * NY, 2 * NX * NY)}  # noqa: RUF012

    def __init__(self):
        super().__init__(2)

    def points(self, mu=None):
        x, y = np.meshgrid(np.linspace(0, 2, NX), np.linspace(0, 1, NY), indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)


def test_the_well_layout_of_vectors_and_of_scalars_that_vary(tmp_path):
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(6, 2, NX, NY)) * [[[[1]], [[10]]]]
    mu = {"k": rng.normal(size=6), "h": np.full(6, 2.5), "p": rng.normal(size=(6, 2))}
    snapshots = grid_snapshots(fields, mu, Flow())
    (folder,) = export_snapshots(snapshots, tmp_path, "the_well", name="flow", parts={"train": 4, "test": 2})
    with h5py.File(folder / "data/test/flow.hdf5") as file:
        np.testing.assert_array_equal(file["t1_fields/v"][:, 0], np.moveaxis(fields[4:], 1, -1).astype(np.float32))
        np.testing.assert_array_equal(file["scalars/k"], mu["k"][4:].astype(np.float32))
        np.testing.assert_array_equal(file["scalars/p_1"], mu["p"][4:, 1].astype(np.float32))
        assert file["scalars/k"].attrs["sample_varying"]
        assert not file["scalars/h"].attrs["sample_varying"]
        assert list(file.attrs["simulation_parameters"]) == ["h"]
        assert list(file["t0_fields"].attrs["field_names"]) == []
    statistics = yaml.safe_load((folder / "stats.yaml").read_text())
    np.testing.assert_allclose(statistics["std"]["v"], fields[:4].std(axis=(0, 2, 3)), rtol=1e-5)
    assert yaml.safe_load((folder / "flow.yaml").read_text())["field_names"][1] == ["v_x", "v_y"]


def test_blocks_do_not_show(darcy, tmp_path, monkeypatch):
    """Rows are read from a store and written a few at a time."""
    whole = darcy.save(tmp_path / "a.zarr")
    monkeypatch.setattr("nwidth.io.writers.base._BLOCK", 3 * 13 * 13 * 8)
    (one,) = export_snapshots(darcy, tmp_path / "one", "pdebench")
    (two,) = export_snapshots(whole, tmp_path / "two", "pdebench")
    (well,) = export_snapshots(whole, tmp_path, "the_well")
    assert list(read_arrays(one).arrays) == list(read_arrays(two).arrays)
    for name, values in read_arrays(one).arrays.items():
        np.testing.assert_array_equal(values, read_arrays(two).arrays[name])
    np.testing.assert_array_equal(
        read_arrays(well / "data/train/darcy.hdf5").arrays["t0_fields/u"][:, 0], read_arrays(one).arrays["tensor"][:, 0]
    )
    statistics = yaml.safe_load((well / "stats.yaml").read_text())
    assert statistics["std"]["u"] == pytest.approx(np.asarray(darcy.fields).std(), rel=1e-5)


@pytest.mark.parametrize("format", ["neuraloperator", "pdebench", "the_well"])
def test_unconverged_samples_are_refused_or_dropped(format, darcy, tmp_path):
    status = np.where(np.arange(20) % 7 == 0, Status.MAX_ITERATIONS, Status.CONVERGED)
    some = replace(darcy, status=status)
    with pytest.raises(InputError, match='3 of 20 samples did not converge .*unconverged="drop"'):
        export_snapshots(some, tmp_path / "a", format)
    assert not (tmp_path / "a").exists()
    (path,) = export_snapshots(some, tmp_path, format, unconverged="drop")
    file = path / "data/train/darcy.hdf5" if path.is_dir() else path
    sizes = {"neuraloperator": "y", "pdebench": "tensor", "the_well": "t0_fields/u"}
    assert len(read_arrays(file).arrays[sizes[format]]) == 17
    with pytest.raises(InputError, match="exists already"):
        export_snapshots(some, tmp_path, format, unconverged="drop")
    with pytest.raises(InputError, match="no converged samples"):
        nothing = replace(darcy, status=np.full(20, Status.FAILED))
        export_snapshots(nothing, tmp_path / "b", format, unconverged="drop")


FIELD = np.ones((5, 5, 7))
TWO = {"a": FIELD, "b": FIELD}
REFUSED = {
    "word": (grid_snapshots(FIELD), "netcdf", "format is 'netcdf'; choose one of neuraloperator, pdebench, the_well"),
    "no field": (grid_snapshots(FIELD), "neuraloperator", "holds no scalars that differ from sample to sample, and k"),
    "two fields": (grid_snapshots(FIELD, TWO), "neuraloperator", r"one input field x.*\['a', 'b'\]"),
    "two fields ": (grid_snapshots(FIELD, TWO), "pdebench", r"one input field.*\['a', 'b'\]"),
    "complex": (grid_snapshots(FIELD * 1j, {"a": FIELD}), "the_well", "real numbers only and the field is complex"),
    "complex k": (grid_snapshots(FIELD, {"a": np.ones(5) * 1j}), "the_well", "the parameter a is complex"),
    "vector": (grid_snapshots(np.ones((5, 2, NX, NY)), {"a": np.ones((5, NX, NY))}, Flow()), "pdebench", "one field"),
    "mesh": (grid_snapshots(np.ones((5, 9)), None, Points((9,), np.random.default_rng(0).random((9, 2)))), "the_well",
             "Points is not a grid"),
    "stretched": (grid_snapshots(np.ones((5, NX, NY)), None, Plane()), "the_well", "not uniform along y"),
    "3-D": (grid_snapshots(np.ones((5, 3, 3, 3)), {"a": np.ones((5, 3, 3, 3))}, Grid((2, 2, 2))), "pdebench",
            "steady fields in two dimensions"),
    "2-D in time": (grid_snapshots(np.ones((5, 2, 5, 7)), {"a": FIELD}, times=np.arange(2.0)), "pdebench",
                    "trajectories in one"),
    "not the start": (grid_snapshots(np.ones((5, 2, 5)), {"a": np.zeros((5, 5))}, Grid((4,)), times=np.arange(2.0)),
                      "pdebench", "the initial state as its first level"),
    "times": (grid_snapshots(np.ones((5, 3, 5)), None, Grid((4,)), times=np.array([0.0, 1.0, 3.0])), "the_well",
              "steps of one length"),
    "other grid": (grid_snapshots(FIELD, {"a": np.ones((5, 6, 7))}), "the_well", r"shape \(6, 7\) per sample"),
    "large": (grid_snapshots(FIELD * 1e300, {"a": FIELD}), "pdebench", "do not fit into float32; export with dtype="),
}  # fmt: skip


@pytest.mark.parametrize(("snapshots", "format", "words"), REFUSED.values(), ids=REFUSED)
def test_what_a_layout_cannot_hold_is_refused_and_nothing_is_left(snapshots, format, words, tmp_path):
    with pytest.raises(InputError, match=words):
        export_snapshots(snapshots, tmp_path, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("parts", "format", "words"), [
    ({"train": 15, "test": 6}, "pdebench", "only 20 are usable"),
    ({"train": 5, "valid": 5}, "neuraloperator", "parts train and test, not 'valid'"),
    ({"test": 5}, "the_well", "of which train is needed"),
    ({"train": 5, "other": 5}, "the_well", "parts train, valid, test"),
    ({"train": 5, "test": 0}, "pdebench", "the part 'test' has no samples"),
])  # fmt: skip
def test_parts_that_make_no_sense(parts, format, words, darcy, tmp_path):
    with pytest.raises(InputError, match=words):
        export_snapshots(darcy, tmp_path, format, parts=parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["pdebench", "the_well"])
def test_a_full_disk_leaves_nothing(format, darcy, tmp_path, monkeypatch):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("nwidth.io.atomic._to_disk", full)
    with pytest.raises(WorkError, match="could not be written: No space left"):
        export_snapshots(darcy, tmp_path, format)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_a_folder(darcy, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be a folder"):
        export_snapshots(darcy, tmp_path / "file", "pdebench")


def test_a_damaged_hdf5_file_is_an_input_error(darcy, tmp_path):
    (path,) = export_snapshots(darcy, tmp_path, "pdebench")
    Path(path).write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="truncated or damaged HDF5"):
        read_arrays(path)


def test_a_parameter_on_a_finer_grid_is_thinned_out_to_the_fields_points(tmp_path):
    """At nodes and on periodic grids; the middles of fine cells are not the middles of coarse ones."""
    x = np.linspace(0, 1, 17)
    fine = np.broadcast_to(np.sin(3 * x), (4, 17)).copy()
    snapshots = grid_snapshots(np.ones((4, 5)), {"a": fine}, Grid((4,)))
    (path,) = export_snapshots(snapshots, tmp_path, "neuraloperator", name="a", dtype="float64")
    np.testing.assert_array_equal(torch.load(path, weights_only=True)["x"].numpy()[0], np.sin(3 * x[::4]))
    cells = grid_snapshots(np.ones((4, 5, 5)), {"a": np.ones((4, 9, 9))}, Grid((5, 5), centring="cell"))
    with pytest.raises(InputError, match="shape .9, 9. per sample"):
        export_snapshots(cells, tmp_path, "neuraloperator", name="b")
