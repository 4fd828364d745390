"""The FNO as fitter and surrogate: learning, boundary values, resolutions, files, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from tests.operators.conftest import averaged_runs, poisson_runs

from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.operators import FNO, Training
from nwidth.operators.fitting import split_rows
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.study.options import options_of

SMALL = FNO(modes=5, width=12, layers=2, training=Training(epochs=15, rate=2e-2))
TINY = FNO(modes=3, width=6, layers=2, training=Training(epochs=2))


@pytest.fixture(scope="module")
def fitted(poisson):
    return SMALL.fit(poisson, Poisson(12), seed=0)


@pytest.fixture(scope="module")
def averager(averaged):
    return SMALL.fit(averaged, seed=0)


def error(surrogate, runs):
    fields = surrogate.predict(runs.mu).field
    return np.linalg.norm(fields - runs.fields) / np.linalg.norm(runs.fields)


def test_it_learns_from_scalars(fitted):
    assert fitted.history.train[0] > 0.07 > 0.035 > fitted.history.train[-1]
    assert error(fitted, poisson_runs(Poisson(12), 16, seed=1)) < 0.01


def test_it_learns_from_fields(averager, averaged):
    unseen = averaged_runs(12, 16, seed=1)
    spread = np.linalg.norm(unseen.fields - unseen.fields.mean(axis=0)) / np.linalg.norm(unseen.fields - 2.1)
    found = averager.predict(unseen.mu).field
    assert np.linalg.norm(found - unseen.fields) / np.linalg.norm(unseen.fields - 2.1) < 0.5 * spread


def test_boundary_values_that_depend_on_the_parameters_are_exact(fitted):
    for n in (12, 17, 30):
        problem = Poisson(n)
        mu = problem.parameters.sample(range(5), seed=2)
        on_boundary = ~problem.space.free.reshape(problem.space.shape)
        found = fitted.at(problem.space).predict(mu).field
        np.testing.assert_array_equal(found[:, on_boundary], problem.boundary(mu)[:, on_boundary])


def test_fixed_boundary_values_are_exact(averager):
    for n in (12, 17):
        runs = averaged_runs(n, 3, seed=2)
        on_boundary = ~runs.space.free.reshape(runs.space.shape)
        found = averager.at(runs.space).predict(runs.mu).field
        assert found.dtype == np.float64
        assert (found[:, on_boundary] == 2.1).all()
        assert (found[:, ~on_boundary] != 2.1).all()


def test_free_boundary_values_are_learned(poisson):
    surrogate = replace(SMALL, boundary="free").fit(poisson, Poisson(12))
    assert surrogate.module.boundary == "free"
    assert error(surrogate, poisson_runs(Poisson(12), 16, seed=1)) < 0.03


def test_without_the_problem_changing_boundary_values_are_learned(poisson):
    assert TINY.fit(poisson).module.boundary == "free"


@pytest.mark.parametrize("n", [9, 24, 31])
def test_other_resolutions_without_training(fitted, n):
    problem = Poisson(n)
    assert error(fitted.at(problem.space), poisson_runs(problem, 16, seed=1)) < 0.012


@pytest.mark.parametrize("dim", [1, 3])
def test_one_and_three_dimensions(dim):
    problem = Poisson(8, dim=dim)
    surrogate = SMALL.fit(poisson_runs(problem, 32), problem)
    assert error(surrogate, poisson_runs(problem, 8, seed=1)) < 0.02
    finer = Poisson(13, dim=dim)
    assert error(surrogate.at(finer.space), poisson_runs(finer, 8, seed=1)) < 0.025


def test_another_grid_needs_its_own_samples(averager):
    coarse, fine = averaged_runs(12, 2), averaged_runs(20, 2)
    with pytest.raises(InputError, match=r"surrogate.at\(space\)"):
        averager.predict(fine.mu)
    moved = averager.at(fine.space)
    assert moved.predict(fine.mu).inside.all()
    assert moved.module is averager.module
    np.testing.assert_array_equal(moved.at(coarse.space).predict(coarse.mu).field, averager.predict(coarse.mu).field)


def test_equal_seeds_give_equal_surrogates(poisson):
    prints = [fingerprint(TINY.fit(poisson, Poisson(12), seed=seed)) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_the_answer_does_not_depend_on_the_batch(fitted):
    mu = Poisson(12).parameters.sample(range(70), seed=3)
    together = fitted.predict(mu).field
    alone = fitted.predict({name: values[40:41] for name, values in mu.items()}).field
    np.testing.assert_allclose(alone[0], together[40], rtol=1e-5)
    assert fitted.predict({name: values[:0] for name, values in mu.items()}).field.shape == (0, 13, 13)


def test_a_prediction_says_that_nothing_is_promised(fitted):
    answer = fitted.predict({"slope": np.array([1.0, 9.0]), "frequency": np.array([2.0, 2.0])})
    assert np.isinf(answer.bound).all() and isinstance(answer.guarantee, Estimate)
    assert answer.inside.tolist() == [True, False]
    with pytest.raises(InputError, match="no batch axis"):
        fitted.predict({"slope": 1.0, "frequency": 2.0})


def test_a_model_file_gives_the_same_answers(fitted, averager, tmp_path):
    for surrogate, runs in ((fitted, poisson_runs(Poisson(12), 3, seed=4)), (averager, averaged_runs(12, 3, seed=4))):
        save(surrogate, tmp_path / "model.nwidth")
        again = load(tmp_path / "model.nwidth")
        np.testing.assert_array_equal(again.predict(runs.mu).field, surrogate.predict(runs.mu).field)
        assert again.history.validation == surrogate.history.validation
        assert fingerprint(again) == fingerprint(surrogate)
        assert again.parameters == surrogate.parameters and again.space == surrogate.space


def test_the_module_speaks_physical_units(averager):
    import torch

    runs = averaged_runs(12, 3, seed=4)
    with torch.no_grad():
        found = averager.module(torch.tensor(runs.mu["a"][:, None], dtype=torch.float32))
    np.testing.assert_allclose(found[:, 0], averager.predict(runs.mu).field, rtol=1e-5)


def test_normalisation_comes_from_the_training_rows(poisson, fitted, averaged, averager):
    for surrogate, runs, prescribed in ((averager, averaged, 2.1), (fitted, poisson, None)):
        trained, _ = split_rows(np.arange(48), 0.05, seed=0)
        part = runs.take(np.sort(trained))
        inputs = np.stack([part.mu[name] for name in part.mu], axis=-1).reshape(-1, len(part.mu))
        np.testing.assert_allclose(surrogate.module.standardise.mean, inputs.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(surrogate.module.standardise.deviation, inputs.std(axis=0), rtol=1e-6)
        if prescribed is not None:
            np.testing.assert_allclose(surrogate.module.scale, (part.fields - prescribed).std(), rtol=1e-4)


def test_validation_rows_are_drawn_by_the_seed_and_never_trained_on():
    rows = np.arange(5, 45)
    trained, watched = split_rows(rows, 0.1, seed=0)
    assert len(watched) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate([trained, watched])), rows)
    assert set(watched) != set(split_rows(rows, 0.1, seed=1)[1])
    assert [len(part) for part in split_rows(np.arange(2), 0.01, seed=0)] == [1, 1]


def test_rows_that_are_watched_do_not_change_the_weights(averaged):
    """One epoch: the state kept is the one after it, whatever the validation fields are."""
    fitter = replace(TINY, training=Training(epochs=1))
    _, watched = split_rows(np.arange(48), 0.05, seed=0)
    other = averaged.fields.copy()
    other[watched[0], 3, 3] += 1.0
    models = [fitter.fit(replace(averaged, fields=f), seed=0).module.network for f in (averaged.fields, other)]
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_array_equal(p.detach(), q.detach())


def test_augmentation_by_the_square_makes_the_operator_equivariant(averaged):
    few = averaged.take(slice(0, 24))
    unseen = averaged_runs(12, 16, seed=1)
    plain, square = (
        replace(SMALL, training=Training(epochs=25, rate=2e-2, augment=augment)).fit(few, seed=0)
        for augment in ("none", "square")
    )
    assert error(square, unseen) < 0.9 * error(plain, unseen)


def test_augmentation_that_would_be_dishonest_is_refused(averaged, poisson):
    square = FNO(modes=3, width=6, training=Training(epochs=1, augment="square"))
    tilted = averaged.fields + np.linspace(0, 1, 13)
    with pytest.raises(InputError, match="the same boundary value everywhere"):
        square.fit(replace(averaged, fields=tilted))
    oblong = replace(averaged, space=Grid((12, 12), (1.0, 2.0)))
    with pytest.raises(InputError, match="a square grid"):
        square.fit(oblong)


@pytest.mark.parametrize(
    "wrong",
    [{"modes": 0}, {"modes": ()}, {"width": 0}, {"layers": 0}, {"padding": -0.1}, {"boundary": "neumann"}],
)
def test_impossible_sizes_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"FNO: {name} is"):
        FNO(**wrong)


def test_what_it_cannot_learn_from_is_refused(averaged):
    with pytest.raises(InputError, match="pass nw.generate"):
        TINY.fit()
    points = Snapshots(Box(("t",), low=(0.0,), high=(1.0,)), Points((7,)), {"t": np.ones(4)}, np.ones((4, 7)))
    with pytest.raises(InputError, match="fields on a grid"):
        TINY.fit(points)
    with pytest.raises(InputError, match="one per axis"):
        FNO(modes=(3, 3, 3)).fit(averaged)
    with pytest.raises(InputError, match="at least 2"):
        TINY.fit(averaged.take(slice(0, 1)))
    with pytest.raises(InputError, match="the same constant"):
        TINY.fit(replace(averaged, fields=np.full_like(averaged.fields, 2.1)))
    broken = averaged.fields.copy()
    broken[7, 2, 2] = np.inf
    with pytest.raises(InputError, match="not finite"):
        TINY.fit(replace(averaged, fields=broken))
    with pytest.raises(InputError, match="trajectories"):
        TINY.fit(replace(averaged, fields=averaged.fields[:, None], times=np.array([0.0])))


def test_a_study_names_unknown_training_keys():
    options = options_of(FNO)
    assert FNO(**dict(options.model_validate({"modes": 8, "training": {"epochs": 3}}))).training.epochs == 3
    with pytest.raises(ValidationError, match=r"training\.epoch\b"):
        options.model_validate({"training": {"epoch": 3}})
    with pytest.raises(ValidationError, match="epochs is -3; expected 0 or more"):
        options.model_validate({"training": {"epochs": -3}})


@pytest.mark.slow
def test_darcy_flow_is_learned_better_than_its_mean_allows():
    """300 solutions on 32 x 32 cells, half a minute: relative errors far below those of the mean field (0.27, 0.47)."""
    from nwidth.solvers.choose import solve

    problem = Darcy(32)
    mu = [problem.parameters.sample(range(a, b), seed=0) for a, b in ((0, 300), (300, 340))]
    fields = [solve(problem, m).field for m in mu]
    runs = Snapshots(problem.parameters, problem.space, mu[0], fields[0])
    training = Training(epochs=20, augment="square")
    surrogate = FNO(modes=12, width=20, training=training).fit(runs, problem, seed=0)
    deviation = surrogate.predict(mu[1]).field - fields[1]

    def energy(v):
        a = mu[1]["a"]
        faces = (a[:, 1:] + a[:, :-1]) / 2, (a[:, :, 1:] + a[:, :, :-1]) / 2
        return np.sqrt((faces[0] * np.diff(v, axis=1) ** 2).sum((1, 2)) + (faces[1] * np.diff(v) ** 2).sum((1, 2)))

    l2 = np.linalg.norm(deviation, axis=(1, 2)) / np.linalg.norm(fields[1], axis=(1, 2))
    assert l2.mean() < 0.04
    assert (energy(deviation) / energy(fields[1])).mean() < 0.12
