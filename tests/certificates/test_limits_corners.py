"""Where calibrated limits end: answers that are no numbers, ties, names, units, grids, runs that a member knows."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.certificates.conformal_cases import Quadratic, runs

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.hints import Spread
from nwidth.certificates.identity import Identity
from nwidth.certificates.lead_time import calibrate_lead_times
from nwidth.certificates.self_consistency import Coarser, Mirrored, ThroughSplitPoint
from nwidth.certificates.unseen import remembered
from nwidth.core.errors import InputError
from nwidth.core.prediction import Output, uncertified
from nwidth.core.rows import marks
from nwidth.core.solution import Status
from nwidth.core.validation import as_mu
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.spaces.trajectories import Trajectories
from nwidth.surrogates.base import Remembering, Surrogate

BOX = Box(("a",), low=0.0, high=1.0)
A = np.random.default_rng(0).uniform(0, 1, 60)


@dataclass(frozen=True, eq=False)
class Says(Surrogate):
    """Answers by functions of `a`: the field, and named outputs. Not stored."""

    kind: ClassVar[str] = "test-says"
    fields: Any
    shape: tuple[int, ...]
    named: Any = ()
    times: Any = None

    @property
    def parameters(self):
        return BOX

    @property
    def space(self):
        return Points(self.shape)

    def predict(self, mu):
        mu = as_mu(mu, ("a",))
        outputs = {}
        for name, function in dict(self.named).items():
            values = function(mu["a"])
            outputs[name] = Output(values, np.full(values.shape, np.inf))
        space = self.space if self.times is None else Trajectories(self.space, self.times)
        return uncertified(mu, self.fields(mu["a"]), space, BOX.contains(mu), outputs)

    def to_parts(self):
        raise InputError("not stored")

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise InputError("not stored")


def zeros(*shape):
    return lambda a: np.zeros((len(a), *shape))


def knows(values, **outputs):
    return Snapshots(BOX, Points(values.shape[1:]), {"a": A[: len(values)]}, values, outputs=outputs)


def in_time(values, times, **outputs):
    a = A[: len(values)]
    return Snapshots(BOX, Points(values.shape[2:]), {"a": a}, values, outputs=outputs, times=times)


# --- names, grids, and how many runs are left ---


@pytest.mark.parametrize("name", ["field", "all outputs"])
def test_an_output_with_the_name_of_the_field_is_refused(name):
    surrogate = Says(zeros(3), (3,), {name: lambda a: 0 * a})
    with pytest.raises(InputError, match="rename it"):
        calibrate(surrogate, knows(np.ones((60, 3)), **{name: A}))
    times = np.array([1.0, 2.0])
    rolled = Says(zeros(2, 3), (3,), {name: lambda a: np.zeros((len(a), 2))}, times)
    with pytest.raises(InputError, match="rename it"):
        calibrate_lead_times(rolled, in_time(np.ones((60, 2, 3)), times, **{name: np.ones((60, 2))}))


@pytest.mark.parametrize("nodes", [1, 4])
def test_runs_on_another_grid_are_refused_with_both_shapes(nodes):
    with pytest.raises(InputError, match=rf"\(60, {nodes}\).*\(60, 3\)"):
        calibrate(Says(zeros(nodes), (nodes,)), knows(np.ones((60, 3))))
    times = np.array([1.0, 2.0])
    with pytest.raises(InputError, match=rf"\(8, 2, {nodes}\).*\(8, 2, 3\)"):
        calibrate_lead_times(Says(zeros(2, nodes), (nodes,), times=times), in_time(np.ones((60, 2, 3)), times))


def test_too_few_runs_says_what_became_of_them():
    data = knows(np.ones((60, 3)))
    status = np.zeros(60, dtype=int)
    status[:7] = 1
    far = {"a": np.where(np.arange(60) < 50, A + 10, A)}
    with pytest.raises(InputError, match="got 10.*Of 60 runs 0 did not converge and 50 lie outside"):
        calibrate(Says(zeros(3), (3,)), replace(data, mu=far), 0.95)
    failed = replace(data, mu={"a": A + 10}, status=status)
    with pytest.raises(
        InputError, match=f"{60 - len(failed.good)} did not converge and {len(failed.good)} lie outside"
    ):
        calibrate(Says(zeros(3), (3,)), failed)


# --- values that are not numbers ---


def strange(a):
    return np.where(a == 0.5, np.nan, a)


def test_an_output_that_is_not_finite_has_no_limit_and_the_others_keep_theirs():
    surrogate = Says(zeros(0), (0,), {"y": strange, "z": lambda a: a})
    certificate = calibrate(surrogate, knows(np.zeros((60, 0)), y=A + 0.1 * A**2, z=A + 0.2))
    answer = certificate.bound(surrogate.predict({"a": np.array([0.5, 0.4])}))
    assert np.isinf(answer.outputs["y"].limit).tolist() == [True, False]
    assert np.isfinite(answer.outputs["z"].limit).all()
    assert np.isinf(answer.bound).tolist() == [True, False]  # of all outputs together
    assert list(answer.reason) == ["an output is not finite", ""]
    with_field = Says(zeros(3), (3,), {"y": strange})
    answer = calibrate(with_field, knows(np.ones((60, 3)), y=A + 1)).bound(with_field.predict({"a": np.array([0.5])}))
    assert np.isfinite(answer.bound).all() and np.isinf(answer.outputs["y"].limit).all()


def test_every_limit_without_end_has_a_reason():
    def huge(a):
        return np.where(a[:, None] == 0.5, 1e300, a[:, None]) * np.ones((1, 3))

    surrogate = Says(huge, (3,))
    certificate = calibrate(surrogate, knows(3 * A[:, None] * np.ones((1, 3))), scale="size")
    wild = replace(certificate, scores={n: s + 1000.0 for n, s in certificate.scores.items()})
    answer = wild.bound(surrogate.predict({"a": np.array([0.5, 0.4])}))
    assert np.isinf(answer.bound).all() and all(answer.reason)


def test_a_rollout_that_is_not_finite_has_no_limit_from_there_on():
    times = np.array([1.0, 2.0])

    def rolled(a):
        fields = np.tile(a[:, None, None], (1, 2, 3))
        fields[a == 0.5, 1, 2] = np.nan
        return fields

    surrogate = Says(rolled, (3,), {"y": lambda a: np.where(a[:, None] == 0.25, np.inf, np.zeros((len(a), 2)))}, times)
    certificate = calibrate_lead_times(
        surrogate, in_time(1.5 * A[:, None, None] * np.ones((1, 2, 3)), times, y=np.ones((60, 2)))
    )
    answer = certificate.bound(surrogate.predict({"a": np.array([0.5, 0.25, 0.4])}))
    assert np.isinf(answer.bound).tolist() == [True, False, False]
    assert np.isinf(answer.stats["in time"]).tolist() == [[False, True], [False, False], [False, False]]
    assert np.isinf(answer.outputs["y"].limit).tolist() == [[False, True], [True, True], [False, False]]
    assert list(answer.reason) == ["the trajectory is not finite", "", ""]


def test_no_query_is_an_answer_too():
    surrogate = Quadratic().fit(runs(60, 1))
    certificate = calibrate(surrogate, runs(60, 2))
    nothing = {name: np.zeros(0) for name in surrogate.parameters.names}
    assert certificate.bound(surrogate.predict(nothing)).bound.shape == (0,)


# --- ties, round-off, units ---


@pytest.mark.parametrize("norm", ["max", "rms"])
@pytest.mark.parametrize("error", [3.0, 5.0, 7.0, 11.0, 13.0, 1e-200, 1e200])
def test_an_error_that_all_runs_have_is_within_its_limit(error, norm):
    """exp(log(5)) is 4.999999999999999, and the square of 1e-200 is nothing."""
    surrogate = Says(zeros(3), (3,))
    certificate = calibrate(surrogate, knows(np.full((60, 3), error)), norm=norm)
    limit = certificate.bound(surrogate.predict({"a": A})).bound
    assert (error * (1 - (norm == "rms") * 1e-15) <= limit).all() and (limit <= error * (1 + 1e-11)).all()


def test_an_exact_output_has_a_joint_profile():
    times = np.arange(3.0) + 1
    surrogate = Says(zeros(3, 3), (3,), {"z": zeros(3)}, times)
    for size in (0.0, 1e-170, 1e170):
        data = in_time(np.ones((60, 3, 3)), times, z=np.full((60, 3), size))
        limits = calibrate_lead_times(surrogate, data, together=True, norm="max").limits["z"]
        assert np.isfinite(limits).all() and (limits >= size).all() and (limits <= max(size, 1e-300) * 1.001).all()


def test_few_runs_together_still_hold_together():
    """Two runs leave none to choose a profile; the limits must nevertheless hold at all ten times at once."""
    times = np.arange(10.0) + 1
    surrogate, held = Says(zeros(10, 3), (3,), times=times), []
    for i in range(300):
        rng = np.random.default_rng(i)
        data = replace(in_time(rng.normal(size=(2, 10, 3)), times), mu={"a": rng.uniform(0, 1, 2)})
        certificate = calibrate_lead_times(surrogate, data, 0.6, together=True, norm="max")
        errors = np.abs(rng.normal(size=(50, 10, 3))).max(axis=2)
        held.append((errors <= certificate.limits["field"]).all(axis=1).mean())
    assert np.mean(held) > 0.6  # 2/3 is exact


def test_other_times_are_refused_though_their_number_is_the_same():
    times = np.array([1.0, 2.0])
    surrogate = Says(zeros(2, 3), (3,), times=times)
    other = replace(surrogate, times=np.array([50.0, 99.0]))
    data = in_time(np.ones((60, 2, 3)), times)
    certificate = calibrate_lead_times(surrogate, data)
    with pytest.raises(InputError, match="50 to 99"):
        certificate.bound(other.predict({"a": A}))
    with pytest.raises(InputError, match="50 to 99"):
        calibrate_lead_times(other, data)


# --- which surrogate ---


@pytest.mark.parametrize("scale", [1e-13, 1.0, 1e13])
def test_another_surrogate_is_another_one_at_any_scale(scale):
    mu = {"a": A}
    one = Says(lambda a: scale * a[:, None], (1,), {"y": lambda a: np.stack([a, a], axis=1)})
    Identity.of(one, mu).check(replace(one, fields=lambda a: scale * a[:, None] * (1 + 1e-9)))
    with pytest.raises(InputError, match="another surrogate"):
        Identity.of(one, mu).check(replace(one, fields=lambda a: -scale * a[:, None]))
    with pytest.raises(InputError, match="another surrogate"):
        Identity.of(one, mu).check(replace(one, named={"y": lambda a: np.stack([a, 1.1 * a], axis=1)}))


def test_a_surrogate_that_is_not_finite_somewhere_is_itself():
    one = Says(lambda a: np.where(a[:, None] == A[0], np.nan, a[:, None]), (1,))
    Identity.of(one, {"a": A}).check(one)


# --- members that know the calibration runs ---


def test_members_that_were_fitted_to_the_calibration_runs_are_refused():
    problem = nw.problems.get("poisson", resolution=8)
    train, unseen, more = nw.generate(problem, 160, seed=0).split(40, 60, 60)
    surrogate, leaked, fair = (nw.rb.PODRegression(modes=3).fit(part, problem) for part in (train, unseen, more))
    for member in (leaked, Mirrored(leaked)):
        with pytest.raises(InputError, match="training runs of a member"):
            nw.certify(surrogate, holdout=unseen, training=train, members=[fair, member])
    assert nw.certify(surrogate, holdout=unseen, training=train, members=[fair, Mirrored(fair)])


class Knowing(Says, Remembering):
    """Has seen what it is told."""

    def has_seen(self, mu):
        return np.isin(mu["a"], A[:5])


def test_what_a_member_has_inside_is_asked_too():
    fine = nw.problems.get("poisson", resolution=8).space
    coarse = replace(fine, cells=(4, 4))
    inside = Knowing(zeros(*coarse.shape), coarse.shape)
    member = object.__new__(Coarser)
    for name, value in {"surrogate": inside, "grid": fine, "fitted": BOX, "coarse": coarse}.items():
        object.__setattr__(member, name, value)
    assert remembered(member, {"a": A}).sum() == 5
    split = ThroughSplitPoint(Knowing(zeros(1), (1,)), Says(zeros(1), (1,)), "a")
    assert remembered(split, {"a": A}).sum() == 5


def test_a_mirror_passes_outputs_on_for_the_spread():
    problem = nw.problems.get("poisson", resolution=8)
    train, unseen = nw.generate(problem, 120, seed=0).split(40, 60)

    def with_mean(part):
        return replace(part, outputs={"mean": np.asarray(part.fields).mean(axis=(1, 2))})

    surrogate = nw.rb.PODRegression(modes=3).fit(with_mean(train), problem)
    certificate = calibrate(surrogate, with_mean(unseen), hints=[Spread([Mirrored(surrogate)])], scale="spread")
    answer = certificate.bound(surrogate.predict(unseen.mu))
    mirrored = Mirrored(surrogate).predict(unseen.mu).outputs["mean"]
    assert np.isinf(mirrored.limit).all() and np.isfinite(mirrored.values).all()
    assert np.isfinite(answer.outputs["mean"].limit).all()


# --- accepted together ---


def test_outputs_in_other_units_are_accepted_with_their_field():
    """Each output was compared with the field's tolerance in its own units: at 1e-6 of them all queries were in."""
    train, unseen = runs(60, 1), runs(240, 5)

    def small(data):
        return replace(data, outputs={"peak": 1e-6 * data.outputs["peak"]})

    surrogate = Quadratic().fit(small(train))
    certificate = calibrate(surrogate, small(unseen), training=train.mu, accept=0.15)
    assert certificate.cutoff.counts("field") == certificate.cutoff.counts("peak")
    assert min(certificate.cutoff.counts("peak").values()) > 0
    fresh = runs(40, 9)
    answer = certificate.bound(surrogate.predict(fresh.mu))
    larger = certificate.bound(surrogate.predict(fresh.mu))
    np.testing.assert_array_equal(answer.bound, larger.bound)
    in_units = Quadratic().fit(replace(train, outputs={"peak": train.outputs["peak"]}))
    usual = calibrate(
        in_units, replace(unseen, outputs={"peak": unseen.outputs["peak"]}), training=train.mu, accept=0.15
    )
    np.testing.assert_allclose(
        1e6 * answer.outputs["peak"].limit, usual.bound(in_units.predict(fresh.mu)).outputs["peak"].limit, rtol=1e-3
    )


def test_groups_of_their_own_for_each_output_are_of_an_earlier_version(tmp_path):
    train, unseen = runs(60, 1), runs(240, 5)
    surrogate = Quadratic().fit(train)
    cutoff = calibrate(surrogate, unseen, training=train.mu, accept=0.15).cutoff
    apart = replace(cutoff, runs={n: np.roll(g, i) for i, (n, g) in enumerate(cutoff.runs.items())})
    parts = apart.to_parts()
    with pytest.raises(InputError, match="earlier version"):
        type(cutoff).from_parts(parts.config, parts.arrays, parts.children)


# --- marks ---


class Rows:
    """Rows of a store: they are read in pieces, and how many at most is known."""

    def __init__(self, values):
        self._values, self.shape, self.largest = values, values.shape, 0

    def __len__(self):
        return len(self._values)

    def __getitem__(self, rows):
        found = self._values[rows]
        self.largest = max(self.largest, found.size)
        return found


def test_marks_are_the_same_in_pieces_and_never_read_all(monkeypatch):
    fields = np.random.default_rng(0).normal(size=(50, 8, 8)).astype(np.float32)
    mu = {"k": fields, "a": A[:50]}
    whole = marks(mu)
    monkeypatch.setattr("nwidth.core.rows._PIECE", 300)
    store = Rows(fields)
    assert marks({"k": store, "a": A[:50]}) == whole and 0 < store.largest <= 300
    assert marks({"k": fields[:0]}) == () and len(set(whole)) == 50


def test_marks_of_a_store_are_those_of_its_rows(tmp_path):
    problem = nw.problems.get("darcy", resolution=8)
    data = nw.generate(problem, 12, seed=0)
    stored = data.save(tmp_path / "runs")
    assert not isinstance(stored.mu["a"], np.ndarray)
    assert marks(stored.mu) == marks(data.mu) and marks(stored.split(5)[0].mu) == marks(data.take(np.arange(5)).mu)


def test_lead_times_are_calibrated_from_a_store_in_pieces(tmp_path):
    """Fields are read once, a few trajectories at a time."""
    times = np.array([1.0, 2.0])
    values = 1.5 * A[:, None, None] * np.ones((1, 2, 3))
    status = np.full(60, Status.CONVERGED)
    status[4] = Status.MISSING
    surrogate = Says(zeros(2, 3), (3,), times=times)
    data = replace(in_time(values, times), status=status)
    store = Rows(values)
    lazy = replace(data, fields=store)
    one, other = calibrate_lead_times(surrogate, data), calibrate_lead_times(surrogate, lazy)
    assert one.calibrated_on == len(data.good) < 60 and 0 < store.largest <= 8 * 6
    np.testing.assert_array_equal(one.limits["field"], other.limits["field"])
