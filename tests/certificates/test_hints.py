"""What foretells the error is what it says, and a limit that follows it can tell which answers to refine."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from tests.certificates.conformal_cases import BOX, Quadratic, QuadraticSurrogate, bare, runs

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.difficulty import CANDIDATES
from nwidth.certificates.hints import Residual, Spread
from nwidth.certificates.quantile import coverage
from nwidth.certificates.self_consistency import Coarser, Mirrored, ThroughSplitPoint
from nwidth.core.errors import InputError
from nwidth.core.prediction import uncertified
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.frames import Frames
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.surrogates.base import Surrogate


@pytest.fixture(scope="module")
def poisson():
    problem = nw.problems.get("poisson", resolution=10)
    data = nw.generate(problem, 400, seed=0)
    parts = data.split(30, 120, 250)
    return problem, nw.rb.PODRegression().fit(parts[0], problem), parts


# --- the residual ---------------------------------------------------------------------------------------------------


def dense_dual_norm(problem, mu, v):
    """`‖f - A v‖_{X⁻¹}` of one field with dense matrices from unit vectors."""
    space, system = problem.space, problem.assemble(mu)
    free = np.flatnonzero(system.free)
    unit = np.eye(space.size)[free]
    X = space.inner("energy").apply(unit)[:, free]
    r = (system.load - system.matrix @ np.where(system.free, v - system.lift, 0.0))[free]
    return np.sqrt(np.real(np.conj(r) @ np.linalg.solve(X, r)))


@pytest.mark.parametrize("kind", ["poisson", "darcy", "advection_diffusion", "helmholtz", "absorbing"])
def test_the_residual_is_that_of_dense_matrices(kind):
    options = {"boundary": "absorbing"} if kind == "absorbing" else {}
    problem = nw.problems.get("helmholtz" if options else kind, resolution=8, **options)
    mu = problem.parameters.sample(range(3), 0)
    rng = np.random.default_rng(0)
    fields = rng.standard_normal((3, *problem.space.shape)).astype(problem.space.dtype)
    fields += 1j * rng.standard_normal(fields.shape) if options else 0.0
    answer = uncertified(mu, fields, problem.space, np.ones(3, dtype=bool))
    found = Residual(problem)(answer, "max", {})["field"]
    for i in range(3):
        one = {n: a[i : i + 1] for n, a in mu.items()}
        alpha = problem.constant(one).lower[0] if isinstance(problem, nw.problems.base.Stable) else 1.0
        expected = dense_dual_norm(problem, one, fields[i].ravel()) / np.sqrt(alpha)
        assert found[i] == pytest.approx(expected, rel=1e-9)


def test_a_batch_in_pieces_and_queries_outside(poisson, monkeypatch):
    problem, surrogate, parts = poisson
    answer = surrogate.predict(parts[2].mu)
    whole = Residual(problem)(answer, "max", {})["field"]
    monkeypatch.setattr("nwidth.certificates.hints._PIECE", 7 * problem.space.size)
    np.testing.assert_allclose(Residual(problem)(answer, "max", {})["field"], whole, rtol=1e-12)
    outside = {n: a * 1e3 for n, a in answer.mu.items()}
    assert np.isnan(Residual(problem)(surrogate.predict(outside), "max", {})["field"]).all()


def test_one_radius_sends_everyone_to_the_solver_and_the_scaled_limit_knows_whom(poisson):
    """The tolerance lies below the common limit: that refines all; the residual tells the good answers from the bad."""
    problem, surrogate, parts = poisson
    fresh = parts[2]
    one = calibrate(surrogate, parts[1], norm="energy", scale="one for all")
    scaled = nw.certify(surrogate, problem, holdout=parts[1], norm="energy").certificate
    assert "residual" in scaled.difficulties["field"].name
    energy = problem.space.inner("energy")
    error = energy.norm(problem.space.flatten(surrogate.predict(fresh.mu).field - fresh.fields))
    tolerance = 0.9 * one.bound(surrogate.predict(fresh.mu)).bound[0]
    answer = scaled.bound(surrogate.predict(fresh.mu))
    accepted = answer.bound <= tolerance
    assert not (one.bound(surrogate.predict(fresh.mu)).bound <= tolerance).any()
    assert accepted.mean() > 0.6
    assert np.mean(error[accepted] <= tolerance) > 0.97
    assert (~accepted[error > tolerance]).mean() > 0.8, "nearly all that miss it are sent on"
    assert np.corrcoef(np.log(answer.bound), np.log(error))[0, 1] > 0.8
    assert coverage(error, answer.bound).interval(0.999)[1] > 0.9


def test_the_residual_of_a_problem_without_matrices_is_refused_or_left_out():
    burgers = nw.problems.get("burgers", resolution=16)
    with pytest.raises(InputError, match="Burgers is not Linear"):
        Residual(burgers)
    certified = nw.certify(Quadratic().fit(bare(20, 1)), burgers, holdout=bare(40, 2))
    assert certified.certificate.surroundings.hints == ()


def test_a_scale_by_name(poisson):
    problem, surrogate, parts = poisson
    few = parts[1].take(slice(0, 30))
    certificate = calibrate(surrogate, few, hints=[Residual(problem)], scale="residual", norm="energy")
    assert certificate.difficulties["field"].plain, "with few runs the limit is proportional to the residual"
    answer = certificate.bound(surrogate.predict(parts[2].mu))
    ratio = answer.bound / Residual(problem)(answer, "energy", {})["field"]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    with pytest.raises(InputError, match="looks at the spread, which is not known here"):
        calibrate(surrogate, parts[1], scale="spread")
    with pytest.raises(InputError, match="scale is 'luck'; choose one of one for all"):
        calibrate(surrogate, parts[1], scale="luck")
    with pytest.raises(InputError, match="learned from at least 15 runs"):
        calibrate(surrogate, few, scale="parameters")
    assert {"residual", "spread", "one for all"} <= set(CANDIDATES)


def test_a_file_brings_the_hints_back(poisson, tmp_path):
    problem, surrogate, parts = poisson
    members = [nw.rb.PODRegression(modes=3).fit(parts[0], problem)]
    certified = nw.certify(surrogate, problem, holdout=parts[1], members=members, training=parts[0])
    again = nw.load(nw.save(certified, tmp_path / "h.nwidth"))
    assert [type(h) for h in again.certificate.surroundings.hints] == [Residual, Spread]
    np.testing.assert_array_equal(again.predict(parts[2].mu).bound, certified.predict(parts[2].mu).bound)


# --- ensembles ------------------------------------------------------------------------------------------------------


def test_the_spread_is_the_root_mean_square_distance_in_the_norm_of_the_limit():
    surrogate, *members = [Quadratic().fit(runs(20, seed)) for seed in (1, 2, 3)]
    answer = surrogate.predict(runs(6, seed=9).mu)
    found = Spread(members)(answer, "rms", {})
    far = [m.predict(answer.mu) for m in members]
    expected = np.sqrt(np.mean([np.mean((f.field - answer.field) ** 2, axis=1) for f in far], axis=0))
    np.testing.assert_allclose(found["field"], expected, rtol=1e-12)
    peaks = np.sqrt(np.mean([(f.outputs["peak"].values - answer.outputs["peak"].values) ** 2 for f in far], axis=0))
    np.testing.assert_allclose(found["peak"], peaks, rtol=1e-12)
    with pytest.raises(InputError, match="needs other surrogates"):
        Spread(())
    with pytest.raises(InputError, match="does not answer 'mean'"):
        Spread([Quadratic().fit(bare(20, 1))])(answer, "max", {})


def test_where_an_ensemble_disagrees_the_limit_is_larger():
    surrogate, *members = [Quadratic().fit(bare(15, seed)) for seed in range(1, 6)]
    certificate = calibrate(surrogate, bare(150, seed=9), hints=[Spread(members)], scale="spread")
    fresh = bare(300, seed=10)
    answer = certificate.bound(surrogate.predict(fresh.mu))
    error = np.abs(answer.field - fresh.fields).max(axis=1)
    assert np.corrcoef(np.log(answer.bound), np.log(error))[0, 1] > 0.4
    assert coverage(error, answer.bound).interval(0.999)[0] < 0.9 < coverage(error, answer.bound).interval(0.999)[1]


# --- the same surrogate in another way ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sums(Surrogate):
    """Running sums of a field parameter along the first direction, times a factor."""

    kind: ClassVar[str] = "test-sums"
    grid: Grid
    factor: float = 1.0

    @property
    def parameters(self):
        return Frames("a", self.grid.shape[1:], tuple(range(self.grid.shape[0])))

    @property
    def space(self):
        return self.grid

    def predict(self, mu):
        mu = as_mu(mu, ("a",))
        return uncertified(mu, self.factor * np.cumsum(mu["a"], axis=1), self.grid, np.ones(len(mu["a"]), bool))

    def to_parts(self):
        return Parts({"factor": self.factor}, {}, {"grid": self.grid})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(children["grid"], config["factor"])


GRID = Grid((4, 6))
FIELDS = {"a": np.random.default_rng(0).standard_normal((2, 5, 7))}


def test_a_mirror_image_is_answered_and_mirrored_back():
    first = Mirrored(Sums(GRID), axis=0).predict(FIELDS).field
    np.testing.assert_allclose(first, np.cumsum(FIELDS["a"][:, ::-1], axis=1)[:, ::-1], rtol=1e-14)
    np.testing.assert_array_equal(Mirrored(Sums(GRID), axis=1).predict(FIELDS).field, Sums(GRID).predict(FIELDS).field)
    with pytest.raises(InputError, match="a mirror needs a grid"):
        Mirrored(Sums(GRID), axis=2)


def test_a_mirror_does_not_disturb_a_solution_that_has_its_symmetry():
    darcy = nw.problems.get("darcy", resolution=8)
    mu = darcy.parameters.sample(range(2), 0)
    solved = nw.solve(darcy, mu).field
    flipped = nw.solve(darcy, {"a": np.flip(mu["a"], 2)}).field
    np.testing.assert_allclose(np.flip(flipped, 2), solved, atol=1e-9)


def test_every_second_node_and_back():
    coarse = Sums(Grid((2, 3)), 2.0)
    found = Coarser(coarse, GRID, Sums(GRID).parameters).predict(FIELDS).field
    thin = 2.0 * np.cumsum(FIELDS["a"][:, ::2, ::2], axis=1)
    np.testing.assert_allclose(found[:, ::2, ::2], thin, rtol=1e-14)
    np.testing.assert_allclose(found[:, 1, ::2], (thin[:, 0] + thin[:, 1]) / 2, rtol=1e-14)
    with pytest.raises(InputError, match=r"a grid of \(2, 3\) cells"):
        Coarser(Sums(Grid((2, 2))), GRID, Sums(GRID).parameters)


def test_through_a_split_point():
    """Twice half the way is all the way where steps are powers of one map."""
    whole = ThroughSplitPoint(Sums(GRID, 2.0), Sums(GRID, 3.0), "a").predict(FIELDS).field
    np.testing.assert_allclose(whole, 6.0 * np.cumsum(np.cumsum(FIELDS["a"], axis=1), axis=1), rtol=1e-13)
    with pytest.raises(InputError, match="'u' is no parameter of the second part"):
        ThroughSplitPoint(Sums(GRID), Sums(GRID), "u")


@pytest.mark.parametrize("other", ["mirrored", "coarser", "split"])
def test_other_ways_are_stored(other, tmp_path):
    made = {
        "mirrored": Mirrored(Sums(GRID), 1),
        "coarser": Coarser(Sums(Grid((2, 3))), GRID, Sums(GRID).parameters),
        "split": ThroughSplitPoint(Sums(GRID), Sums(GRID, 2.0), "a"),
    }[other]
    again = nw.load(nw.save(made, tmp_path / "o.nwidth"), kinds=[Sums])
    np.testing.assert_array_equal(again.predict(FIELDS).field, made.predict(FIELDS).field)
    assert made.space.shape == GRID.shape and again.parameters.names == ("a",)


# --- runs that it has seen ------------------------------------------------------------------------------------------


def test_a_regression_remembers_its_training_runs(poisson):
    _, surrogate, parts = poisson
    with pytest.raises(InputError, match="30 of the 30 calibration runs are training runs"):
        calibrate(surrogate, parts[0])
    mixed = parts[1].append(parts[0].take(slice(0, 3)))
    with pytest.raises(InputError, match="3 of the 123 calibration runs are training runs"):
        nw.certify(surrogate, holdout=mixed)
    scalar = Snapshots(BOX, Points((0,)), bare(25, 0).mu, np.empty((25, 0)), outputs=runs(25, 0).outputs)
    for regressor in ("kernel", "rbf", "gaussian-process"):
        fitted = nw.rb.PODRegression(regressor=regressor).fit(scalar)
        with pytest.raises(InputError, match="25 of the 25 calibration runs are training runs"):
            calibrate(fitted, scalar)


def test_other_surrogates_need_to_be_told(poisson):
    train, unseen = bare(20, seed=1), bare(40, seed=2)
    surrogate = Quadratic().fit(train)
    assert isinstance(surrogate, QuadraticSurrogate)
    with pytest.raises(InputError, match="20 of the 20 calibration runs are training runs"):
        nw.certify(surrogate, holdout=train, training=train)
    assert np.isfinite(nw.certify(surrogate, holdout=unseen, training=train).predict(unseen.mu).bound).all()


def test_what_only_calibration_takes_is_refused_for_a_guarantee(poisson):
    problem, surrogate, parts = poisson
    with pytest.raises(InputError, match="training, members: a limit calibrated on runs takes this"):
        nw.certify(surrogate, problem, training=parts[0], members=[surrogate])
