"""Streaming POD: its account of what was dropped against dense linear algebra, its memory, and kills."""

import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status
from nwidth.rb.pod_basis import pod
from nwidth.rb.streaming_step import by_blocks, by_gram
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.open import open_snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import DiagonalProduct, Points


def weights(size):
    return DiagonalProduct(np.geomspace(0.1, 30.0, size))


def dense(dofs, inner, about="mean"):
    centred = dofs - dofs.mean(axis=0) if about == "mean" else dofs
    return centred * (1.0 if inner is None else np.sqrt(inner.weights))


def fronts(count, size=300, seed=0):
    """Moving fronts: slowly falling singular values, so that something must be dropped all the time."""
    x, s = np.linspace(0, 1, size), np.sort(np.random.default_rng(seed).uniform(0.2, 0.8, count))[:, None]
    return np.tanh(30 * (x - s)) + 3.0


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(2, 80),
    size=st.integers(2, 50),
    block=st.integers(1, 90),
    tol=st.sampled_from([0.5, 0.1, 1e-2, 1e-4, 1e-7]),
    decay=st.floats(0.2, 1.0),
    capacity=st.sampled_from([None, 1, 4]),
    kind=st.sampled_from(["real", "complex"]),
    about=st.sampled_from(["mean", "zero"]),
    order=st.sampled_from(["as is", "growing", "repeated"]),
    seed=st.integers(0, 5),
)
def test_the_bound_holds_whatever_the_order_of_the_snapshots(
    count, size, block, tol, decay, capacity, kind, about, order, seed
):
    rng = np.random.default_rng(seed)
    rank = min(count, size)
    dofs = rng.standard_normal((count, rank)) * decay ** np.arange(rank) @ rng.standard_normal((rank, size)) + 5
    if kind == "complex":
        dofs = dofs + 1j * np.roll(dofs, 1, axis=0)
    if order == "growing":  # the worst is last: what was dropped early is small against it
        dofs = dofs * np.geomspace(1e-6, 1, count)[:, None]
    if order == "repeated":
        assume(count > 2)
        dofs = dofs[np.arange(count) // 2]
    inner = weights(size)
    rows = dense(dofs, inner, about)
    wanted = {"modes": capacity, "capacity": capacity} if capacity else {}
    found = pod(dofs, tol=tol, method="streaming", block=block, inner=inner, about=about, **wanted)
    rest = (dofs - found.offset - found.coefficients(dofs) @ found.modes) * np.sqrt(inner.weights)
    true = np.linalg.norm(rest) / np.linalg.norm(rows)
    floor = 1e-14 * np.linalg.norm(dofs * np.sqrt(inner.weights)) / np.linalg.norm(rows)
    assert true <= found.lost + floor
    assert capacity or found.lost <= tol
    assert found.energy == pytest.approx(np.linalg.norm(rows) ** 2, rel=1e-9)
    sigma, (low, high) = np.linalg.svd(rows, compute_uv=False), found.enclosure()
    k = min(len(low), len(sigma))
    slack = floor * np.linalg.norm(rows)
    assert (low[:k] <= sigma[:k] + slack).all() and (sigma[:k] <= high[:k] + slack).all()
    assert (sigma[k:] <= np.sqrt(found.unseen) + found.apart + slack).all(), "a singular value that nobody counted"


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
def test_modes_are_nearly_as_few_as_the_best(tol):
    dofs = fronts(500)
    found = pod(dofs, tol=tol, method="streaming", about="zero", block=20)
    best = pod(dofs, tol=0.9 * tol, method="svd", about="zero")
    fewest = pod(dofs, tol=tol, method="svd", about="zero")
    assert len(fewest.modes) <= len(found.modes) <= len(best.modes), "HAPOD: no more than the best at ω tol"
    assert found.unseen > 0


def test_without_truncation_it_is_the_singular_value_decomposition():
    dofs = fronts(120, size=40)
    found = pod(dofs, tol=1e-13, method="streaming", inner=weights(40), block=9, modes=30)
    sigma = np.linalg.svd(dense(dofs, weights(40)), compute_uv=False)
    np.testing.assert_allclose(found.singular_values, sigma[: len(found.singular_values)], atol=1e-10 * sigma[0])


def test_the_block_only_changes_rounding():
    dofs = fronts(200, size=60)
    a, b = (pod(dofs, modes=8, method="streaming", capacity=60, block=n) for n in (7, 200))
    np.testing.assert_allclose(a.singular_values[:8], b.singular_values[:8], rtol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(a.modes * b.modes, axis=1)), 1, atol=1e-11)
    np.testing.assert_allclose(a.offset, dofs.mean(axis=0), atol=1e-14)


def test_both_ways_of_a_step_agree_and_the_cheap_one_is_refused_where_it_cannot_see():
    rng = np.random.default_rng(0)
    modes, sigma = np.linalg.qr(rng.standard_normal((50, 6)))[0].T, np.geomspace(10, 1e-2, 6)
    rows = 1e-1 * rng.standard_normal((9, 4)) * 0.1 ** np.arange(4) @ rng.standard_normal((4, 50))
    whole = np.concatenate([sigma[:, None] * modes, rows])
    exact = np.linalg.svd(whole, compute_uv=False)
    for spare in (1e-3, 1e-6):
        keep = int(np.sum(np.cumsum(exact[::-1] ** 2)[::-1] > spare))
        steps = (by_gram(modes, sigma, rows, None, spare, 99, 1.0),
                 by_blocks(modes, sigma, rows, None, spare, 0.0, 99, 1.0))  # fmt: skip
        for step in steps:
            assert keep <= len(step.sigma) <= keep + 1
            n = len(step.sigma)
            np.testing.assert_allclose(step.sigma, exact[:n], rtol=1e-7)
            np.testing.assert_allclose(step.dropped, np.sum(exact[n:] ** 2), rtol=1e-6, atol=1e-24)
            np.testing.assert_allclose(step.modes @ step.modes.T, np.eye(n), atol=1e-13)
            split = whole.T @ whole - (step.modes.T * step.sigma**2) @ step.modes
            assert np.trace(split) == pytest.approx(step.dropped, rel=1e-6, abs=1e-12)
    assert by_gram(modes, sigma, rows, None, 1e-20, 99, 1.0) is None


def test_orthonormal_after_many_steps_and_far_from_the_mean():
    rng = np.random.default_rng(0)
    dofs = 1e6 + rng.standard_normal((3000, 5)) * [1, 1e-2, 1e-4, 1e-5, 1e-6] @ rng.standard_normal((5, 30))
    found = pod(dofs, tol=1e-3, method="streaming", block=3)
    np.testing.assert_allclose(found.modes @ found.modes.T, np.eye(len(found.modes)), atol=3e-13)
    rows = dense(dofs, None)
    rest = rows - (rows @ found.modes.T) @ found.modes
    assert np.linalg.norm(rest) / np.linalg.norm(rows) <= found.lost <= 1e-3


def test_a_tolerance_out_of_reach_is_said():
    with pytest.raises(WorkError, match=r"with all 3 modes held, above tol = 0.001; raise capacity \(now 3\)"):
        pod(fronts(100), tol=1e-3, method="streaming", capacity=3)
    with pytest.raises(WorkError, match="rounding alone is"):
        pod(fronts(100), tol=1e-15, method="streaming", block=1)


def runs(count, size=200, seed=0, times=None):
    box, x = Box(("s", "k"), low=(0.2, 5.0), high=(0.8, 20.0)), np.linspace(0, 1, size)
    mu = box.sample(range(count), seed=seed)
    fields = np.tanh(mu["k"][:, None] * (x - mu["s"][:, None]))
    status = np.full(count, Status.CONVERGED)
    status[3::50] = Status.FAILED
    fields[3::50] = np.nan
    if times is not None:
        fields = fields[:, None] * np.exp(-times)[:, None]
    space = Points((size,), x[:, None])
    return Snapshots(box, space, mu, fields, status=status, times=times, index=np.arange(count))


@pytest.mark.parametrize("times", [None, np.linspace(0, 1, 3)])
def test_a_store_gives_what_its_runs_in_memory_give(tmp_path, times):
    data = runs(150, times=times)
    data.save(tmp_path / "runs.zarr")
    stored = pod(tmp_path / "runs.zarr", tol=1e-4, inner="mass")
    good = data.fields[data.good].reshape(-1, 200)
    held = pod(good, tol=1e-4, inner=data.space.inner("mass"), method="svd")
    assert stored.method == "streaming" and stored.why == "the data is read block by block"
    np.testing.assert_allclose(stored.singular_values[:6], held.singular_values[:6], rtol=1e-6)
    np.testing.assert_allclose(stored.offset, held.offset, atol=1e-13)
    rest = good - stored.offset - stored.coefficients(good) @ stored.modes
    true = np.sqrt(np.sum(data.space.inner("mass").norm(rest) ** 2) / held.energy)
    assert true <= stored.lost <= 1e-4


def test_blocks_as_they_come_are_read_once():
    dofs = fronts(100)
    reads = []

    def blocks():
        for first in range(0, 100, 10):
            reads.append(first)
            yield dofs[first : first + 10]

    found = pod(blocks(), tol=1e-3)
    assert reads == list(range(0, 100, 10))
    same = pod(dofs, tol=1e-3, method="streaming", block=10)
    np.testing.assert_array_equal(found.modes, same.modes)


def test_memory_does_not_grow_with_the_store(tmp_path):
    """The peak of four times as many runs is the same, up to what the reading thread holds at that moment."""
    peaks = []
    for count in (400, 1600):
        path = tmp_path / f"{count}.zarr"
        runs(count, size=4000).save(path)
        peaks.append(min(_peak(path) for _ in range(3)))
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 0.4 * open_snapshots(tmp_path / "1600.zarr").fields.nbytes


def _peak(path):
    tracemalloc.start()
    pod(path, tol=1e-2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


KILLED = """
    import os, signal, sys
    import nwidth.rb.streaming_checkpoint as checkpoint
    from nwidth.rb.pod_basis import pod

    write, written = checkpoint.Checkpoint.write, []

    def deadly(self, state):
        write(self, state)
        written.append(state.end)
        if len(written) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.Checkpoint.write = deadly
    pod(sys.argv[1], tol=1e-4, inner="mass", block=32, checkpoint=sys.argv[2], seconds=0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_killed_and_resumed_gives_the_same_bit_by_bit(tmp_path):
    store, file = tmp_path / "runs.zarr", tmp_path / "pass.safetensors"
    runs(300).save(store)
    for times in (3, 2):
        script = [sys.executable, "-c", textwrap.dedent(KILLED), str(store), str(file), str(times)]
        assert subprocess.run(script, env=os.environ.copy(), timeout=120).returncode == -signal.SIGKILL
    resumed = pod(store, tol=1e-4, inner="mass", block=32, checkpoint=file)
    whole = pod(store, tol=1e-4, inner="mass", block=32)
    for name in ("modes", "singular_values", "offset"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    assert (resumed.energy, resumed.unseen, resumed.apart) == (whole.energy, whole.unseen, whole.apart)
    again = pod(store, tol=1e-4, inner="mass", block=32, checkpoint=file)
    np.testing.assert_array_equal(again.modes, whole.modes, "a finished pass reads nothing more")


@pytest.mark.parametrize("dtype", [float, complex])
def test_a_pass_goes_on_where_more_has_come(tmp_path, dtype):
    dofs = fronts(160) * (1 + 1j if dtype is complex else 1)
    blocks = [dofs[i : i + 40] for i in range(0, 160, 40)]
    pod(iter(blocks[:2]), tol=1e-3, checkpoint=tmp_path / "c")
    longer, whole = pod(iter(blocks), tol=1e-3, checkpoint=tmp_path / "c"), pod(iter(blocks), tol=1e-3)
    np.testing.assert_array_equal(longer.modes, whole.modes)
    assert longer.energy == whole.energy and longer.modes.dtype == np.dtype(dtype)


def test_a_checkpoint_of_another_pass_or_a_damaged_one_is_refused(tmp_path):
    data, file = runs(64), tmp_path / "c"
    pod(data, tol=1e-3, checkpoint=file)
    with pytest.raises(InputError, match=r"belongs to another pass \(inner product differ\)"):
        pod(data, tol=1e-3, checkpoint=file, inner="mass")
    with pytest.raises(InputError, match=r"another pass \(settings differ\)"):
        pod(data, tol=1e-4, checkpoint=file)
    with pytest.raises(InputError, match=r"another pass \(data differ\)"):
        pod(runs(64, seed=1), tol=1e-3, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="is damaged"):
        pod(data, tol=1e-3, checkpoint=file)
    with pytest.raises(InputError, match="kept by the streaming method only, not by 'svd'"):
        pod(fronts(20), method="svd", checkpoint=file)


def test_what_is_no_data_is_refused():
    for wrong, says in [
        (3, "got a int; a POD takes dofs"),
        (iter([]), "there are no snapshots"),
        (iter([np.ones(3)]), r"block 0 has shape \(3,\)"),
        (iter([np.ones((2, 3)), np.ones((2, 4))]), "a block has 4 dofs, the earlier ones have 3"),
        (iter([np.full((2, 3), np.nan)]), "not finite"),
    ]:
        with pytest.raises(InputError, match=says):
            pod(wrong)
    with pytest.raises(InputError, match="names a product of a space"):
        pod(fronts(5), inner="mass")
    with pytest.raises(InputError, match="all 8 snapshots are the same field"):
        pod(iter([np.pi * 1e6 * np.ones((3, 5)), np.pi * 1e6 * np.ones((5, 5))]))
