"""The store: what other tools see in it, what is read, and what happens when it is damaged."""

import json
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
import zarr.storage._local as zarr_local
from tests.snapshots.problems import KINDS, NX, NY, Decay, Draws, Plane, Waves

from nwidth.core.errors import InputError, WorkError
from nwidth.problems.base import BlackBox
from nwidth.snapshots.generate import generate
from nwidth.snapshots.lock import sole_writer
from nwidth.snapshots.open import open_snapshots
from nwidth.snapshots.rows import StoredRows
from nwidth.snapshots.store import Store
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "waves.zarr"
    generate(Waves(components=2), 22, chunk=4, seed=5, path=path)
    return path


@pytest.fixture
def store(made, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "waves.zarr"))


def tree(path: Path) -> xarray.DataTree:
    return xarray.open_datatree(path, engine="zarr", consolidated=False)


def test_xarray_sees_names_axes_coordinates_and_units(made):
    opened = tree(made)
    fields = opened["fields"]["u"]
    assert fields.dims == ("sample", "component", "x", "y")
    assert opened["mu"]["a"].dims == ("sample", "x", "y")
    assert opened["mu"]["k"].dims == ("sample",)
    np.testing.assert_array_equal(fields.x, np.linspace(0, 2, NX))
    np.testing.assert_array_equal(fields.y, np.linspace(0, 1, NY) ** 2)
    np.testing.assert_array_equal(opened["sample"], np.arange(22))
    assert fields.attrs["components"] == {"u0": [0, 20], "u1": [20, 40]}
    assert opened["outputs"]["total"].attrs["units"] == "K"
    assert opened["status"].attrs["codes"]["converged"] == 1
    assert set(opened.dataset) == {"status", "residual", "iterations", "seconds"}
    snapshots = open_snapshots(made, KINDS)
    np.testing.assert_array_equal(fields.values, np.asarray(snapshots.fields))
    np.testing.assert_array_equal(fields.sel(sample=7, x=0.5, y=1.0).values, snapshots.fields[7][:, 1, 3])


def test_xarray_sees_times_and_complex_values(tmp_path):
    generate(Decay(), 5, path=tmp_path / "a.zarr")
    opened = tree(tmp_path / "a.zarr")
    assert opened["fields"]["u"].dims == ("sample", "time", "x", "y")
    assert opened["outputs"]["mean"].dims == ("sample", "time")
    np.testing.assert_array_equal(opened["fields"]["u"].time, [0, 0.5, 1, 4])
    generate(Waves(dtype="complex128"), 5, path=tmp_path / "b.zarr")
    assert tree(tmp_path / "b.zarr")["fields"]["u"].dtype == np.complex128


def test_xarray_sees_scattered_nodes(tmp_path):
    class Scattered(Plane):
        shape = (NX * NY,)

        def points(self, mu=None):
            return np.random.default_rng(0).normal(size=(NX * NY, 2))

    class Own(Waves):
        space = Scattered()

        def solve(self, mu):
            return mu["a"].reshape(-1, NX * NY)

    generate(Own(), 3, path=tmp_path / "a.zarr")
    fields = tree(tmp_path / "a.zarr")["fields"]["u"]
    assert fields.dims == ("sample", "node")
    np.testing.assert_array_equal(fields.y, Scattered().points()[:, 1])
    assert fields.coords["x"].dims == ("node",)


def test_the_attributes_say_what_was_made(made):
    """Once, and readable by any tool."""
    header = json.loads((made / "zarr.json").read_text())["attributes"]["nwidth"]
    assert header["format"] == 1
    assert header["chunk"] == 4
    origin = header["provenance"]
    assert origin["seed"] == 5
    assert origin["problem"]["class"] == "Waves"
    assert origin["problem"]["components"] == 2
    assert origin["solver"] == {"class": "OwnSolver"}
    assert set(origin["versions"]) == {"python", "nwidth", "numpy", "scipy", "zarr"}


def test_a_store_opens_with_its_spaces(made, tmp_path):
    snapshots = open_snapshots(made, KINDS)
    assert isinstance(snapshots.parameters, Draws)
    assert isinstance(snapshots.space, Plane)
    assert snapshots.space.shape == (2, NX, NY)
    with pytest.raises(InputError, match="kinds="):
        open_snapshots(made)

    class Own(BlackBox):
        parameters = Box(("k", "h"), 0.5, (1.0, 2.0), units=("W", "m"))
        space = Grid((4, 4))

        def solve(self, mu):
            return np.ones((len(mu["k"]), *self.space.shape))

    generate(Own(), 3, path=tmp_path / "a.zarr")
    again = open_snapshots(tmp_path / "a.zarr")  # built-in kinds need no help
    assert again.parameters == Own.parameters
    np.testing.assert_array_equal(again.space.points(), Own.space.points())


def test_only_the_chunks_of_the_chosen_rows_are_read(made, monkeypatch):
    read = []
    original = zarr_local._get
    monkeypatch.setattr(zarr_local, "_get", lambda path, *rest: read.append(path) or original(path, *rest))
    snapshots = open_snapshots(made, KINDS)
    parts = snapshots.split(10, 8, seed=0)

    def chunks() -> list[str]:
        found = sorted(f"{p.parent.name}/{p.name.split('.')[1]}" for p in read if p.parent.name in ("u", "a"))
        read.clear()
        return [name for name in found if not name.endswith("zarr")]

    chunks()
    picked = snapshots.take(np.array([13, 2, 1]))
    assert chunks() == ["a/0", "a/3", "u/0", "u/3"]
    np.testing.assert_array_equal(picked.index, [13, 2, 1])
    snapshots.fields[4:8]
    assert chunks() == ["u/1"]
    parts[0].fields[0]
    assert len(chunks()) == 1
    assert snapshots.fields.shape == (22, 2, NX, NY)
    assert not chunks()


def test_rows_index_like_an_array(made):
    rows = open_snapshots(made, KINDS).fields
    array = np.asarray(rows)
    assert isinstance(rows, StoredRows)
    mask = np.arange(22) % 3 == 0
    for key in (3, -1, slice(2, 9), slice(None, None, -1), slice(3, 3), np.array([5, 5, 0]), mask, [1, 20],
                (slice(2, 7), 1), (4, 0, 2), (mask, slice(None), 3), (..., 0), slice(0, 22, 5)):  # fmt: skip
        np.testing.assert_array_equal(rows[key], array[key], strict=True)
    np.testing.assert_array_equal(rows.view(mask)[1:3], array[mask][1:3])
    np.testing.assert_array_equal(array - rows, np.zeros_like(array))
    assert (len(rows), rows.ndim, rows.nbytes, rows.dtype) == (22, 4, array.nbytes, array.dtype)
    assert "waves.zarr" in repr(rows)
    with pytest.raises(IndexError):
        rows[22]
    assert np.asarray(rows, dtype=np.float32).dtype == np.float32


def test_split_leaves_the_fields_where_they_are(made):
    train, test = open_snapshots(made, KINDS).split(12, 6, seed=1)
    assert isinstance(train.fields, StoredRows)
    everything = Waves(components=2).exact(Draws().sample(range(22), 5))
    np.testing.assert_array_equal(train.fields[:], everything[train.index])
    np.testing.assert_array_equal(test.mu["a"][:], Draws().sample(test.index, 5)["a"])


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_constant_fields_are_stored_and_not_taken_for_absence(value, tmp_path):
    @dataclass(frozen=True)
    class Constant(Waves):
        def solve(self, mu):
            return np.full((len(mu["k"]), NX, NY), value)

    path = tmp_path / "a.zarr"
    if np.isnan(value):
        with pytest.raises(WorkError, match="none of the 9 samples converged"):
            generate(Constant(), 9, chunk=4, path=path)
        assert open_snapshots(path, KINDS).provenance["samples"] == {"failed": 9}
        return
    generate(Constant(), 9, chunk=4, path=path)
    assert (open_snapshots(path, KINDS).fields[:] == value).all()
    (path / "fields" / "u" / "c.1.0.0").unlink()
    with pytest.raises(InputError, match=r"c.1.0.0 is missing"):
        open_snapshots(path, KINDS)


@pytest.mark.parametrize("name", ["fields/u/c.2.0.0.0", "mu/a/c.2.0.0", "mu/k/c.2", "outputs/total/c.2"])
def test_a_missing_chunk_is_named_and_can_be_made_again(name, store):
    before = open_snapshots(store, KINDS).take(slice(None))
    (store / name).unlink()
    with pytest.raises(InputError, match="is missing although its samples were complete") as caught:
        open_snapshots(store, KINDS)
    assert str(store / name) in str(caught.value)
    with pytest.raises(InputError, match="is missing"):
        generate(Waves(components=2), 22, seed=5, path=store)
    assert str(store / "status" / "c.2") in str(caught.value)
    (store / "status" / "c.2").unlink()  # what the message says
    after = generate(Waves(components=2), 22, seed=5, path=store)
    np.testing.assert_array_equal(after.fields[:], before.fields)
    np.testing.assert_array_equal(after.mu["a"][:], before.mu["a"])


@pytest.mark.parametrize("name", ["fields/u/c.2.0.0.0", "mu/a/c.2.0.0"])
@pytest.mark.parametrize("how", ["altered", "truncated", "empty"])
def test_a_damaged_chunk_is_named(name, how, store):
    damage(store / name, how)
    snapshots = open_snapshots(store, KINDS)
    assert snapshots.take(slice(0, 8)).fields.shape == (8, 2, NX, NY)  # the rest can be read
    with pytest.raises(InputError, match=f"{name.rpartition('/')[0]} is damaged in samples"):
        snapshots.take(slice(6, 10))


@pytest.mark.parametrize("how", ["altered", "truncated"])
def test_a_damaged_status_is_noticed_at_once(how, store):
    damage(store / "status" / "c.2", how)
    for act in (lambda: open_snapshots(store, KINDS), lambda: generate(Waves(components=2), 22, seed=5, path=store)):
        with pytest.raises(InputError, match="status is damaged"):
            act()


def damage(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "altered":
        data[len(data) // 2] ^= 1
    file.write_bytes({"altered": data, "truncated": data[: len(data) // 2], "empty": b""}[how])


def rewrite(path: Path, change) -> None:
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


ALTERATIONS = {
    "header": (lambda p: rewrite(p / "zarr.json", lambda m: m["attributes"].clear()), "not a snapshot store"),
    "format": (lambda p: rewrite(p / "zarr.json", lambda m: m["attributes"]["nwidth"].update(format=9)), "format 9"),
    "chunk": (lambda p: rewrite(p / "zarr.json", lambda m: m["attributes"]["nwidth"].pop("chunk")), "lacks the attrib"),
    "chunks": (lambda p: rewrite(p / "zarr.json", lambda m: m["attributes"]["nwidth"].update(chunk=5)), "chunks of 4"),
    "fields": (lambda p: shutil.rmtree(p / "fields"), "lacks fields/u"),
    "status": (lambda p: shutil.rmtree(p / "status"), "lacks status"),
    "mu": (lambda p: shutil.rmtree(p / "mu"), "lacks mu"),
    "one parameter": (lambda p: shutil.rmtree(p / "mu" / "k"), r"holds the parameters \['a'\]"),
    "definition": (lambda p: shutil.rmtree(p / "definition"), "definition/parameters is missing"),
    "shorter": (lambda p: rewrite(p / "fields/u/zarr.json", lambda m: m["shape"].__setitem__(0, 9)), "has 9 rows"),
    "another shape": (lambda p: rewrite(p / "fields/u/zarr.json", lambda m: m["shape"].__setitem__(3, 3)), "shape"),
    "not JSON": (lambda p: (p / "zarr.json").write_text("{"), "not a snapshot store"),
    "array not JSON": (lambda p: (p / "fields/u/zarr.json").write_text("{"), "waves.zarr"),
}


@pytest.mark.parametrize(("alter", "words"), ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_altered_store_is_a_clear_error(alter, words, store):
    alter(store)
    with pytest.raises(InputError, match=words):
        open_snapshots(store, KINDS)


def other_layouts(folder: Path) -> dict[str, Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.create_array(folder / "array.zarr", shape=(3,), dtype="f8")
        zarr.create_group(folder / "plain.zarr").create_array("u", shape=(3,), dtype="f8")
        zarr.create_group(folder / "two.zarr", zarr_format=2)
    (folder / "folder").mkdir()
    (folder / "file.zarr").write_text("not zarr")
    names = ("array.zarr", "plain.zarr", "two.zarr", "folder", "file.zarr", "absent.zarr")
    return {name: folder / name for name in names}


def test_other_layouts_are_a_clear_error(tmp_path):
    for name, path in other_layouts(tmp_path).items():
        with pytest.raises(InputError, match=name):
            open_snapshots(path)


def test_one_writer_at_a_time(made, tmp_path):
    """A lock that ends with its holder, even where that is killed."""
    path = tmp_path / "a.zarr"
    with sole_writer(path), pytest.raises(WorkError, match="another process is writing to"):
        generate(Waves(), 3, path=path)
    code = (
        "import sys, time; from pathlib import Path; from nwidth.snapshots.lock import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkError, match="another process is writing to"):
            generate(Waves(), 3, path=path)
        with pytest.raises(WorkError, match="another process is writing to"):
            generate(Waves(), 3).save(path)
    finally:
        holder.kill()
        holder.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert len(generate(Waves(), 3, path=path)) == 3
            break
        except WorkError:
            time.sleep(0.01)
    else:
        pytest.fail("the lock outlived its holder")


def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        generate(Waves(), 3, path=tmp_path / "file" / "a.zarr")


def test_values_that_are_not_numbers_are_refused(tmp_path):
    class Words(Draws):
        names = ("k", "a", "word")

        def sample(self, indices, seed):
            return super().sample(indices, seed) | {"word": np.array(["yes"] * len(indices))}

    class Own(Waves):
        parameters = Words()

    with pytest.raises(InputError, match="only numbers can be stored"):
        generate(Own(), 3, path=tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_a_store_can_be_read_while_it_is_filled(tmp_path):
    """What is there is complete; the rest is missing and says so."""
    seen = []

    class Reader(Waves):
        def solve(self, mu):
            snapshots = open_snapshots(tmp_path / "a.zarr", KINDS)
            seen.append(snapshots.provenance["samples"])
            good = snapshots.take(snapshots.good)
            np.testing.assert_array_equal(good.fields, self.exact(good.mu))
            return super().solve(mu)

    generate(Reader(), 10, chunk=4, path=tmp_path / "a.zarr")
    assert seen == [{"missing": 10}, {"missing": 6, "converged": 4}, {"missing": 2, "converged": 8}]


def test_statistics_appear_when_a_solver_first_reports_them(store):
    """Several writers may find it out at once."""
    first, second = Store(store, writable=True), Store(store, writable=True)
    for writer in (first, second):
        writer._array_for("bound")[4:8] = 1.0
    bound = open_snapshots(store, KINDS).stats["bound"]
    assert np.isnan(bound[:4]).all()
    assert (bound[4:8] == 1).all()
