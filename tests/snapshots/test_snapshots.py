"""Snapshots as values: parts, copies, sums, and what does not fit together."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.snapshots.problems import KINDS, NX, NY, Decay, Draws, Plane, Waves
from tests.snapshots.test_generate import Scripted, same

import nwidth.snapshots.base as base
from nwidth.core.errors import InputError
from nwidth.core.solution import Status
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.generate import generate
from nwidth.snapshots.open import open_snapshots


@pytest.fixture(params=["memory", "store"])
def snapshots(request, tmp_path) -> Snapshots:
    path = tmp_path / "a.zarr" if request.param == "store" else None
    return generate(Waves(limit=0.75), 30, chunk=4, seed=2, path=path)


def plain(count: int = 5, **changes: object) -> Snapshots:
    """Snapshots as a user's own data would give them: no status, no statistics."""
    mu = Draws().sample(range(count), 0)
    entries = {"parameters": Draws(), "space": Plane(), "mu": mu, "fields": mu["a"] + 1.0}
    return Snapshots(**(entries | changes))


def test_take_keeps_rows_together(snapshots):
    rows = np.array([20, 3, 4])
    part = snapshots.take(rows)
    mu = Draws().sample(rows, 2)
    np.testing.assert_array_equal(part.mu["a"], mu["a"])
    np.testing.assert_array_equal(part.index, rows)
    good = part.status == Status.CONVERGED
    np.testing.assert_array_equal(part.fields[good], Waves().exact(mu)[good])
    np.testing.assert_array_equal(part.outputs["total"], snapshots.outputs["total"][rows])
    np.testing.assert_array_equal(part.stats["seconds"], snapshots.stats["seconds"][rows])
    assert isinstance(part.fields, np.ndarray)
    assert len(snapshots.take(snapshots.status == Status.FAILED)) == (snapshots.mu["k"] > 0.75).sum()
    assert len(snapshots.take(slice(0, 0))) == 0


@pytest.mark.parametrize("seed", [None, 4])
def test_split_gives_disjoint_converged_parts(seed, snapshots):
    parts = snapshots.split(8, 5, 3, seed=seed)
    assert [len(part) for part in parts] == [8, 5, 3]
    taken = np.concatenate([part.index for part in parts])
    assert len(set(taken.tolist())) == 16
    assert set(taken.tolist()) <= set(snapshots.good.tolist())
    if seed is None:
        np.testing.assert_array_equal(taken, snapshots.good[:16])
    else:
        assert sorted(taken.tolist()) != snapshots.good[:16].tolist()
        same(snapshots.split(8, seed=seed)[0].take(slice(None)), parts[0].take(slice(None)))
    for part in parts:
        assert part.provenance["samples"] == {"converged": len(part)}
        np.testing.assert_array_equal(part.fields[:], Waves().exact(Draws().sample(part.index, 2)))


def test_split_of_too_many_is_refused(snapshots):
    usable = len(snapshots.good)
    with pytest.raises(InputError, match=f"only {usable} are usable"):
        snapshots.split(usable, 1)
    with pytest.raises(InputError):
        snapshots.split(-1, 2)
    assert sum(map(len, snapshots.split(usable - 1, 1))) == usable


def test_save_and_open(snapshots, tmp_path):
    saved = snapshots.save(tmp_path / "deep" / "er.zarr")
    same(saved, snapshots)
    again = open_snapshots(tmp_path / "deep" / "er.zarr", KINDS)
    same(again, snapshots)
    assert again.provenance["seed"] == 2
    with pytest.raises(InputError, match="exists already"):
        snapshots.save(tmp_path / "deep" / "er.zarr")


def test_save_of_a_users_own_data(tmp_path):
    data = plain()
    again = data.save(tmp_path / "a.zarr")
    np.testing.assert_array_equal(again.fields[:], data.fields)
    assert (again.status == Status.CONVERGED).all()
    assert np.isnan(again.stats["residual"]).all()
    np.testing.assert_array_equal(again.index, np.arange(5))
    with pytest.raises(InputError, match="no samples to save"):
        data.take(slice(0, 0)).save(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_save_of_trajectories(tmp_path):
    snapshots = generate(Decay(), 7)
    again = snapshots.save(tmp_path / "a.zarr")
    same(again, snapshots)
    np.testing.assert_array_equal(again.times, Decay.times)


@pytest.mark.parametrize("stored", [False, True])
def test_append_is_a_new_longer_whole(stored, snapshots, tmp_path):
    more = generate(Waves(limit=0.75), 13, seed=2, start=30)
    whole = snapshots.append(more, path=tmp_path / "both.zarr" if stored else None)
    reference = generate(Waves(limit=0.75), 43, seed=2, chunk=4)
    same(whole, reference)
    assert (len(snapshots), len(more)) == (30, 13)
    assert [part["start"] for part in whole.provenance["parts"]] == [0, 30]
    if stored:
        same(open_snapshots(tmp_path / "both.zarr", KINDS), reference)


def test_append_fills_statistics_that_one_part_lacks():
    first = generate(Waves(), 4)
    second = generate(Waves(), 3, start=4, solver=Scripted(stats=(("bound", 2.0),)))
    bound = first.append(second).stats["bound"]
    assert np.isnan(bound[:4]).all()
    assert (bound[4:] == 2).all()


def test_append_refuses_what_does_not_match(snapshots):
    other = generate(Waves(components=2), 3, start=50)
    with pytest.raises(InputError, match="differ in space"):
        snapshots.append(other)
    with pytest.raises(InputError, match="time levels"):
        generate(Decay(), 3).append(generate(Waves(), 3))
    with pytest.raises(InputError, match="different outputs"):
        snapshots.append(plain())
    with pytest.raises(InputError, match="5 samples are in both, number 25 the first; generate others with start=35"):
        snapshots.append(generate(Waves(limit=0.75), 10, seed=2, start=25))
    assert len(snapshots.append(generate(Waves(limit=0.75), 10, seed=3, start=25))) == 40  # another seed


MISFITS = {
    "rows": ({"fields": np.zeros((4, NX, NY))}, "unequal lengths"),
    "status": ({"status": np.ones(4)}, "unequal lengths.*'status': 4"),
    "stats": ({"stats": {"residual": np.ones(6)}}, "unequal lengths.*'residual': 6"),
    "shape": ({"fields": np.zeros((5, NX, NY + 1))}, r"fields have shape \(5, 5\) per sample, expected \(5, 4\)"),
    "times": ({"times": np.arange(3.0)}, r"expected \(3, 5, 4\)"),
}


@pytest.mark.parametrize(("changes", "words"), MISFITS.values(), ids=MISFITS)
def test_parts_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        plain(**changes)


def test_repr_is_short_and_says_what_failed(snapshots):
    bad = int((snapshots.mu["k"] > 0.75).sum())
    assert repr(snapshots) == f"Snapshots(30 samples ({30 - bad} converged, {bad} failed) of k, a; fields (30, 5, 4))"
    assert "no status" in repr(plain())


def test_good_without_status_is_everything():
    np.testing.assert_array_equal(plain().good, np.arange(5))
    assert len(plain(status=np.array([1, 2, 1, 0, 5])).good) == 2


def test_loader_hands_over_to_training(monkeypatch):
    monkeypatch.setattr(base, "load_attribute", lambda name: lambda *a, **k: (name, a[1:], k))
    assert plain().loader("cuda", 4, seed=3) == ("nwidth.surrogates.training.loader:loader", ("cuda", 4), {"seed": 3})


def test_snapshots_need_neither_zarr_nor_torch():
    """Those who fit to arrays of their own do not wait for them."""
    names = "('zarr', 'torch', 'joblib', 'rich')"
    code = f"import sys, nwidth.snapshots.base; print([m for m in {names} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_snapshots_are_frozen(snapshots):
    with pytest.raises(AttributeError):
        snapshots.fields = None
    assert len(replace(snapshots, provenance={})) == 30
