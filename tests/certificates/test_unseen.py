"""Calibration on runs that the surrogate was fitted to is refused, whoever it is and whatever stands around it."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from torch import nn

import nwidth as nw
from nwidth.core.rows import marks
from nwidth.operators import FNO, Evolving, Measuring, Training, wrap
from nwidth.problems.burgers import Burgers
from nwidth.snapshots import on_nodes
from nwidth.surrogates.around import Around

DARCY = nw.problems.get("darcy", resolution=8)
RUNS = nw.generate(DARCY, 24, seed=0)
TRAIN, FRESH = RUNS.split(12, 12)
QUICK = Training(epochs=1, batch=4)
SMALL = FNO(modes=3, width=4, layers=1, training=QUICK)


@dataclass(frozen=True)
class Doubled(Around):
    """Something around a surrogate that knows nothing of its training."""

    kind: ClassVar[str] = "test-doubled"

    def predict(self, mu):
        answer = self.surrogate.predict(mu)
        return replace(answer, values=2 * np.asarray(answer.field))


def test_marks_are_of_values_not_of_names_types_or_order():
    mu = {"a": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([0.0, 5.0])}
    again = {"b": np.array([-0.0, 5.0], dtype=np.float32), "a": mu["a"].astype(np.float32)[:, ::1]}
    assert marks(mu) == marks(again) and len(set(marks(mu))) == 2
    assert marks({"a": mu["a"][::-1], "b": mu["b"][::-1]}) == marks(mu)[::-1]
    changed = {**mu, "b": np.array([0.0, np.nextafter(5.0, 6.0)])}
    assert marks(changed)[0] == marks(mu)[0] and marks(changed)[1] != marks(mu)[1]


@pytest.mark.parametrize("fitter", [SMALL, nw.rb.PODRegression(modes=3)], ids=["FNO", "regression"])
def test_training_runs_are_refused_and_fresh_ones_are_not(fitter, tmp_path):
    surrogate = fitter.fit(TRAIN, DARCY, seed=0)
    nw.save(surrogate, tmp_path / "model.nwidth")
    mixed = replace(RUNS, mu={"a": RUNS.mu["a"].astype(np.float64)})
    for known in (surrogate, nw.load(tmp_path / "model.nwidth"), Doubled(surrogate)):
        with pytest.raises(nw.InputError, match="12 of the 24 calibration runs are training runs"):
            nw.certify(known, holdout=mixed, level=0.8)
        assert nw.certify(known, holdout=FRESH, level=0.8).guarantee.level == 0.8


def test_runs_that_only_chose_the_epoch_are_training_runs():
    trained = wrap(nn.Conv2d(1, 1, 3, padding=1), QUICK).fit(TRAIN, DARCY, seed=0)
    assert trained.has_seen(TRAIN.mu).all() and not trained.has_seen(FRESH.mu).any()
    assert len(trained.history.runs) == 12 and trained.remembers and trained.at(DARCY.space).remembers


def test_on_another_grid_a_network_does_not_pretend_to_know_its_runs():
    trained = SMALL.fit(TRAIN, DARCY, seed=0)
    finer = nw.problems.get("darcy", resolution=16)
    moved = trained.at(finer.space)
    assert trained.remembers and not moved.remembers
    assert not moved.has_seen(finer.parameters.sample(range(12), 0)).any()


def test_trajectories_and_outputs_too():
    burgers = Burgers(0.05, resolution=16, solver_resolution=32, modes=8, levels=(0.1, 0.2))
    runs = on_nodes(nw.generate(burgers, 20, seed=0))
    evolved = Evolving(replace(SMALL, modes=3)).fit(runs, burgers, seed=0)
    with pytest.raises(nw.InputError, match="20 of the 20 calibration runs"):
        nw.certify(evolved, holdout=runs, level=0.8)
    measured_runs = replace(RUNS, outputs={"mean": RUNS.fields.mean(axis=(1, 2))})
    measured = Measuring(SMALL).fit(measured_runs.take(np.arange(12)), seed=0)
    assert measured.has_seen(RUNS.mu).sum() == 12
