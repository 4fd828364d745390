"""Generation: the values are right, the same for any number of workers, and never silently incomplete."""

import logging
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.snapshots.problems import KINDS, NX, NY, Decay, Draws, Plane, Waves

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.problems.base import BlackBox, Problem
from nwidth.snapshots.generate import default_chunk, generate
from nwidth.snapshots.open import open_snapshots
from nwidth.solvers.base import Solver
from nwidth.testing.dense import DenseProblem


def same(a: Any, b: Any) -> None:
    """Equal bit for bit in everything but the time it took."""
    np.testing.assert_array_equal(np.asarray(a.fields), np.asarray(b.fields), strict=True)
    np.testing.assert_array_equal(a.status, b.status, strict=True)
    np.testing.assert_array_equal(a.index, b.index, strict=True)
    for mine, other in ((a.mu, b.mu), (a.outputs, b.outputs), (a.stats, b.stats)):
        assert list(mine) == list(other)
        for name in mine:
            if name != "seconds":
                np.testing.assert_array_equal(np.asarray(mine[name]), np.asarray(other[name]), strict=True)


@pytest.mark.parametrize("problem", [
    Waves(),
    Waves(components=3),
    Waves(dtype="complex128"),
    Waves(components=2, dtype="complex64"),
    Waves(dtype="float32"),
], ids=str)  # fmt: skip
def test_fields_outputs_and_parameters_are_those_of_the_problem(problem, tmp_path):
    mu = problem.parameters.sample(range(7, 30), 3)
    exact = problem.exact(mu)
    for path in (None, tmp_path / "a.zarr"):
        snapshots = generate(problem, 23, seed=3, start=7, chunk=4, path=path)
        np.testing.assert_array_equal(np.asarray(snapshots.fields), exact, strict=True)
        np.testing.assert_array_equal(np.asarray(snapshots.mu["a"]), mu["a"])
        np.testing.assert_array_equal(snapshots.mu["k"], mu["k"])
        np.testing.assert_array_equal(snapshots.index, np.arange(7, 30))
        total = exact.reshape(23, -1).sum(axis=1) + 1.0
        np.testing.assert_allclose(snapshots.outputs["total"], total, rtol=1e-5 if exact.dtype.itemsize < 16 else 1e-13)
        assert list(snapshots.outputs) == ["total", "first"]
        assert list(snapshots.mu) == ["k", "a"]
        assert (snapshots.status == Status.CONVERGED).all()
        assert snapshots.provenance["samples"] == {"converged": 23}


def test_trajectories_have_their_times(tmp_path):
    for path in (None, tmp_path / "a.zarr"):
        snapshots = generate(Decay(), 6, chunk=4, path=path)
        assert snapshots.fields.shape == (6, 4, NX, NY)
        np.testing.assert_array_equal(snapshots.times, [0, 0.5, 1, 4])
        expected = np.asarray(snapshots.mu["a"]).mean(axis=(1, 2)) * np.exp(-4 * snapshots.mu["k"])
        np.testing.assert_allclose(snapshots.outputs["mean"][:, 3], expected, rtol=1e-13)
        assert open_snapshots(path, KINDS).times[3] == 4 if path else True


class BatchSize(Waves):
    """Shows in every value with how many others it was computed."""

    def solve(self, mu):
        return np.full((len(mu["k"]), NX, NY), len(mu["k"]))


PROBLEMS = {"black box": Waves(limit=0.8), "linear": DenseProblem(size=20), "batch": BatchSize()}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_any_number_of_workers_gives_the_same_bits(problem, tmp_path):
    reference = generate(problem, 21, chunk=4)
    for workers in (1, 2):
        same(generate(problem, 21, chunk=4, workers=workers, path=tmp_path / f"{workers}.zarr"), reference)
    same(generate(problem, 21, chunk=4, workers=2), reference)


def test_a_relative_path_is_that_of_the_caller(tmp_path, monkeypatch):
    """Worker processes that were started elsewhere find it."""
    generate(Waves(), 8, chunk=4, workers=2)
    monkeypatch.chdir(tmp_path)
    assert (generate(Waves(), 8, chunk=4, workers=2, path="a.zarr").status == Status.CONVERGED).all()
    assert (tmp_path / "a.zarr").is_dir()


def test_only_a_chunk_is_a_batch():
    """What a sample's value may depend on is fixed: the batch that the solver sees, whatever the worker."""
    seen = []

    class Spy(Waves):
        def solve(self, mu):
            seen.append(len(mu["k"]))
            return super().solve(mu)

    generate(Spy(), 10, chunk=4)
    assert seen == [4, 4, 2]


SCRIPT = '''
import sys
import numpy as np, scipy.sparse as sp
from nwidth.problems.base import BlackBox, Linear, Stable, Stability, System
from nwidth.snapshots.generate import generate
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points

N = 300
class Bar(Linear, Stable):
    """A user's own equation, without a main guard."""
    parameters = Box(("k", "h"), low=(1.0, 0.5), high=(2.0, 1.5))
    space = Points((N,), np.linspace(0, 1, N)[:, None])
    def assemble(self, mu):
        k, h = mu["k"][0], mu["h"][0]
        matrix = sp.diags_array([-k, 2 * k + h / N, -k], offsets=[-1, 0, 1], shape=(N, N)).tocsr()
        free = np.ones(N, bool)
        return System(matrix, np.full(N, h), free, np.zeros(N))
    def constant(self, mu, field=None):
        return Stability(mu["k"], 4 * mu["k"])

class Thick(BlackBox):
    """Products large enough for BLAS to share among threads."""
    parameters = Box("k", 1.0, 2.0)
    space = Points((N,), np.linspace(0, 1, N)[:, None])
    def solve(self, mu):
        rng = np.random.default_rng(0)
        m = rng.normal(size=(N, 900)) @ rng.normal(size=(900, 900)) @ rng.normal(size=(900, N))
        return np.sin(mu["k"][:, None] * m[0]) @ m + np.linalg.solve(m, mu["k"] * m[:, :1]).T

for problem in (Bar(), Thick()):
    one, two = (generate(problem, 12, chunk=2, workers=w) for w in (1, 2))
    assert np.array_equal(one.fields, two.fields), "bits differ"
    assert type(problem).__name__ == "Thick" or two.stats["residual"].max() < 1e-8
    stored = generate(problem, 12, chunk=2, workers=2, path=sys.argv[1] + type(problem).__name__)
    assert np.array_equal(stored.fields, one.fields)
print("fine")
'''


def test_a_plain_script_with_classes_of_its_own(tmp_path):
    """No main guard, classes in __main__, two BLAS threads in the parent: workers give the same bits."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "store-")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_a_library_that_is_loaded_on_the_way_does_not_escape_the_limit(monkeypatch):
    """A chunk during which one appeared ran on an unknown number of threads, and is solved again."""
    loaded, calls = [SimpleNamespace(filepath="first")], []

    class Threads:
        def __init__(self):
            self.lib_controllers = list(loaded)

        def limit(self, limits):
            assert limits == 1
            return nullcontext()

    class Loading(Waves):
        def solve(self, mu):
            calls.append(len(mu["k"]))
            if len(calls) == 2:
                loaded.append(SimpleNamespace(filepath="second"))
            return super().solve(mu)

    monkeypatch.setattr("nwidth.snapshots.work.ThreadpoolController", Threads)
    same(generate(Loading(), 11, chunk=4), generate(Waves(), 11, chunk=4))
    assert calls == [4, 4, 4, 3]


def test_a_problem_that_cannot_be_sent_is_solved_here(caplog):
    class Bound(Waves):
        def __getstate__(self):
            raise TypeError("cannot pickle this")

    snapshots = generate(Bound(), 9, chunk=4, workers=2)
    same(snapshots, generate(Waves(), 9, chunk=4))
    assert "one process instead of 2" in caplog.text


@pytest.mark.parametrize("silent", [False, True], ids=["WorkError", "NaN"])
def test_a_failed_sample_keeps_its_row_and_is_counted(silent, tmp_path, caplog):
    problem = Waves(limit=0.7, silent=silent)
    snapshots = generate(problem, 20, chunk=8, path=tmp_path / "a.zarr")
    bad = snapshots.mu["k"] > 0.7
    assert 0 < bad.sum() < 20
    np.testing.assert_array_equal(snapshots.status == Status.FAILED, bad)
    np.testing.assert_array_equal(snapshots.good, np.flatnonzero(~bad))
    assert np.isnan(snapshots.fields[bad]).all()
    mu = problem.parameters.sample(range(20), 0)
    np.testing.assert_array_equal(snapshots.fields[~bad], problem.exact(mu)[~bad])  # the others are not spoilt
    assert snapshots.provenance["samples"] == {"converged": 20 - bad.sum(), "failed": bad.sum()}
    assert f"{bad.sum()} of 20 samples did not converge" in caplog.text
    assert ("k is too large" in caplog.text) is not silent
    same(generate(problem, 20, chunk=8, path=tmp_path / "a.zarr"), snapshots)  # and it is said again


def test_no_sample_that_converges_is_an_error():
    with pytest.raises(WorkError, match="none of the 5 samples converged: 5 failed .k is too large"):
        generate(Waves(limit=0.0), 5)


@dataclass(frozen=True)
class Scripted(Solver):
    """Answers with the given status and statistics."""

    status: int = 1
    stats: tuple[tuple[str, float], ...] = ()
    shape: tuple[int, ...] = (NX, NY)
    value: float = 1.0

    def prepare(self, problem: Problem) -> Problem:
        return problem

    def solve(self, state: Any, mu: Any, x0: Any = None, stop: Tolerance | None = None) -> Solution:
        size = len(mu["k"])
        fields = np.full((size, *self.shape), self.value if stop is None else stop.value)
        status = np.where(mu["k"] > 0.5, self.status, Status.CONVERGED)
        return Solution(fields, status, {name: np.full(size, value) for name, value in self.stats})


def test_statistics_status_and_tolerance_pass_through(tmp_path, caplog):
    solver = Scripted(Status.MAX_ITERATIONS, (("iterations", 7), ("bound", 0.25), ("residual", 1e-3)))
    snapshots = generate(Waves(), 10, solver=solver, tolerance=Tolerance("residual", 0.125), chunk=4,
                         path=tmp_path / "a.zarr")  # fmt: skip
    assert {n: v[0] for n, v in snapshots.stats.items() if n != "seconds"} == {
        "residual": 1e-3, "iterations": 7, "bound": 0.25}  # fmt: skip
    assert snapshots.stats["iterations"].dtype.kind == "i"
    assert (snapshots.stats["seconds"] > 0).all()  # the solver gives none: the share of its call
    assert (np.asarray(snapshots.fields) == 0.125).all()
    assert snapshots.provenance["samples"]["max_iterations"] == (snapshots.mu["k"] > 0.5).sum()
    assert "max iterations" in caplog.text
    assert snapshots.provenance["why"] == "chosen by the caller"
    assert snapshots.provenance["solver"]["status"] == Status.MAX_ITERATIONS
    assert snapshots.provenance["tolerance"] == {"class": "Tolerance", "kind": "residual", "value": 0.125}


def test_a_solver_that_calls_nan_converged_is_not_believed():
    with pytest.raises(WorkError, match="none of the 4 samples converged: 4 failed"):
        generate(Waves(), 4, solver=Scripted(value=np.nan))


@pytest.mark.parametrize(("solver", "words"), [
    (Scripted(status=0), "returned the status"),
    (Scripted(status=77), "returned the status"),
    (Scripted(shape=(NX,)), "returned fields of shape"),
], ids=["missing", "unknown", "shape"])  # fmt: skip
def test_a_solver_that_answers_nonsense_leaves_nothing_behind(solver, words, tmp_path):
    with pytest.raises(InputError, match=words):
        generate(Waves(), 10, solver=solver, path=tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_complex_answers_for_a_real_space_are_refused():
    class Wrong(Waves):
        def solve(self, mu):
            return super().solve(mu) * 1j

    with pytest.raises(InputError, match="complex128"):
        generate(Wrong(), 4)


def test_an_error_in_the_users_code_says_for_which_samples(tmp_path):
    class Buggy(Waves):
        def solve(self, mu):
            return 1 / 0 if (mu["k"] == self.parameters.sample([5], 0)["k"]).any() else super().solve(mu)

    for workers in (1, 2):
        with pytest.raises(ZeroDivisionError) as caught:
            generate(Buggy(), 12, chunk=4, path=tmp_path / f"{workers}.zarr", workers=workers)
        assert any("samples 4 to 7" in note for note in caught.value.__notes__)
    assert open_snapshots(tmp_path / "1.zarr", KINDS).provenance["samples"] == {"missing": 8, "converged": 4}


REQUESTS = {
    "count": ({"count": 0}, "count is 0, expected a whole number from 1 on"),
    "fraction": ({"count": 2.5}, "count is 2.5"),
    "seed": ({"seed": -1}, "seed is -1"),
    "workers": ({"workers": 0}, "workers is 0"),
    "chunk": ({"chunk": 0}, "chunk is 0"),
    "start": ({"start": -3}, "start is -3"),
    "tolerance": ({"tolerance": 1e-8}, r"tolerance is 1e-08, expected what it refers to.*Tolerance\('residual'"),
    "solver": ({"solver": "cg"}, "solver is 'cg', expected a Solver"),
    "problem": ({"problem": 3}, "problem is 3, expected an object of a class that inherits Problem"),
}


@pytest.mark.parametrize(("change", "words"), REQUESTS.values(), ids=REQUESTS)
def test_requests_that_make_no_sense(change, words, tmp_path):
    request = {"problem": Waves(), "count": 4, "path": tmp_path / "a.zarr"} | change
    with pytest.raises(InputError, match=words):
        generate(**request)
    assert not (tmp_path / "a.zarr").exists()


def test_a_problem_that_offers_no_solution():
    class Bare(Problem):
        parameters = Draws()
        space = Plane()

    with pytest.raises(InputError, match="offers no way to be solved"):
        generate(Bare(), 3)


DIFFERENT = {
    "seed": (Waves(), {"seed": 1}, "seed is 0 there, 1 here"),
    "start": (Waves(), {"start": 2}, "start is 0 there, 2 here"),
    "problem": (Waves(amplitude=3.0), {}, r"problem.amplitude is 2.0 there, 3.0 here"),
    "class": (Decay(), {}, r"problem.class is 'Waves' there, 'Decay' here"),
    "solver": (Waves(), {"solver": Scripted()}, "solver.class is 'OwnSolver' there, 'Scripted' here"),
    "tolerance": (Waves(), {"tolerance": Tolerance()}, "tolerance is None there"),
    "chunk": (Waves(), {"chunk": 5}, "chunk is 4 there, 5 here"),
    "count": (Waves(), {"count": 6}, "count is 12 there, 6 here"),
}


@pytest.mark.parametrize(("problem", "change", "words"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_request_for_the_same_store_is_refused(problem, change, words, tmp_path):
    request = {"count": 12, "chunk": 4, "path": tmp_path / "a.zarr"}
    before = generate(Waves(), **request)
    with pytest.raises(InputError, match=words):
        generate(problem, **(request | change))
    same(open_snapshots(tmp_path / "a.zarr", KINDS), before)


def test_an_edited_equation_of_the_same_name_is_refused(tmp_path):
    """The class has no configuration to compare: its numbers are compared."""

    class Edited(DenseProblem):
        def assemble(self, mu):
            system = super().assemble(mu)
            return replace(system, matrix=1.001 * system.matrix)

    Edited.__qualname__ = "DenseProblem"
    generate(DenseProblem(), 4, path=tmp_path / "a.zarr")
    generate(DenseProblem(), 4, path=tmp_path / "a.zarr")
    with pytest.raises(InputError, match="the values of equation have changed for sample 0"):
        generate(Edited(), 4, path=tmp_path / "a.zarr")


def test_a_larger_count_adds_samples(tmp_path):
    """Also over the last chunk, which was not full and is solved again as a whole."""
    generate(Waves(), 10, chunk=4, path=tmp_path / "a.zarr")
    calls = []

    class Spy(Waves):
        def solve(self, mu):
            calls.append(len(mu["k"]))
            return super().solve(mu)

    Spy.__qualname__ = "Waves"
    grown = generate(Spy(), 19, path=tmp_path / "a.zarr")
    assert calls == [4, 4, 3]
    same(grown, generate(Waves(), 19, chunk=4))
    same(open_snapshots(tmp_path / "a.zarr", KINDS), grown)


def test_what_exists_is_never_overwritten(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("notes", "file"):
        with pytest.raises(InputError, match=name):
            generate(Waves(), 3, path=tmp_path / name)
    assert (tmp_path / "notes" / "a.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert len(generate(Waves(), 3, path=tmp_path / "empty")) == 3


def test_a_store_of_saved_snapshots_is_not_continued(tmp_path):
    generate(Waves(), 6).save(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="saved, not generated"):
        generate(Waves(), 6, path=tmp_path / "a.zarr")


def test_a_space_without_a_kind_is_refused_only_where_it_must_be_stored(tmp_path):
    class Nameless(Plane):
        kind = None

    @dataclass(frozen=True)
    class Own(Waves):
        space = Nameless()

    assert len(generate(Own(), 3)) == 3
    with pytest.raises(InputError, match='kind = "nameless"'):
        generate(Own(), 3, path=tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_the_default_chunk_depends_on_the_problem_alone():
    assert default_chunk(DenseProblem()) == 32
    assert default_chunk(Waves()) == 8

    class Large(BlackBox):
        parameters = Draws()
        space = type("Space", (Plane,), {"shape": (2**20,)})()

        def solve(self, mu):
            return np.zeros((len(mu["k"]), 2**20))

    assert default_chunk(Large()) == 1


def test_progress_shows_rate_and_time_left(capsys):
    generate(Waves(), 20, chunk=4, progress=True)
    shown = capsys.readouterr()
    assert "OwnSolver, the problem brings its own solver" in shown.err
    assert "20/20" in shown.err
    assert "/s" in shown.err
    assert not shown.out
    generate(Waves(), 20, chunk=4)
    assert not capsys.readouterr().err


def test_other_versions_are_mentioned(tmp_path, caplog, monkeypatch):
    generate(Waves(), 4, chunk=4, path=tmp_path / "a.zarr")
    module = sys.modules["nwidth.snapshots.generate"]
    monkeypatch.setattr(module, "versions", lambda: {"numpy": "99.0"})
    with caplog.at_level(logging.WARNING):
        generate(Waves(), 4, chunk=4, path=tmp_path / "a.zarr")
        assert "versions" not in caplog.text  # nothing is left to do
        generate(Waves(), 8, chunk=4, path=tmp_path / "a.zarr")
    assert "99.0" in caplog.text


@pytest.mark.parametrize("first", ["torch", "scipy.linalg"])
def test_what_else_the_process_has_loaded_does_not_matter(first):
    """Torch brings a math library of its own, which once changed the last bits of another's factorisation."""
    pytest.importorskip(first)
    script = (
        f"import {first}, hashlib, numpy as np\n"
        "from nwidth.snapshots.generate import generate\n"
        "from nwidth.testing.dense import DenseProblem\n"
        "fields = np.asarray(generate(DenseProblem(size=20), 9, chunk=4).fields)\n"
        "print(hashlib.sha256(fields.tobytes()).hexdigest())\n"
    )
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    plain = subprocess.run(
        [sys.executable, "-c", script.replace(f"import {first}, ", "import ")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert seen == plain
