"""The set of typical fields: on other grids, in words, in files, and as part of a surrogate."""

from dataclasses import replace

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.storable import fingerprint
from nwidth.problems.darcy import Darcy
from nwidth.spaces.box import Box
from nwidth.spaces.frames import Frames
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.random_field import LogNormalField, TwoValuedField
from nwidth.spaces.typical import TypicalFields, typical_set

LAW = LogNormalField(resolution=24, sigma=0.5, alpha=3.0, modes=24)
SHORT = replace(LAW, tau=9.0)


@pytest.fixture(scope="module")
def typical() -> TypicalFields:
    found = typical_set(LAW, LAW.sample(range(400), seed=0))
    assert isinstance(found, TypicalFields)
    return found


def test_the_set_is_the_base_less_what_is_strange(typical):
    fresh, strange = LAW.sample(range(900, 1000), seed=0), SHORT.sample(range(20), seed=0)
    assert typical.names == ("a",) and typical.level == 0.99
    assert typical.contains(fresh).mean() >= 0.98
    assert LAW.contains(strange).all() and not typical.contains(strange).any()
    np.testing.assert_array_equal(typical.sample([3], 0)["a"], LAW.sample([3], 0)["a"])


def test_words(typical):
    mu = {"a": np.concatenate([LAW.sample([900], 0)["a"], SHORT.sample([0], 0)["a"], 1e9 * LAW.sample([0], 0)["a"]])}
    fine, strange, beyond = typical.describe(mu)
    assert fine == "" and strange.startswith("a is unlike the training fields: ") and "outside your range" in beyond


@pytest.mark.parametrize("resolution", [48, 72])
def test_a_finer_grid_is_judged_by_the_nodes_of_the_training(typical, resolution):
    finer = typical.on(LAW.at(resolution))
    same = LAW.at(resolution).sample(range(900, 960), seed=0)
    assert finer.contains(same).mean() >= 0.95
    assert not finer.contains(SHORT.at(resolution).sample(range(20), seed=0)).any()
    coarse = {"a": same["a"][:, :: resolution // 24, :: resolution // 24]}
    np.testing.assert_array_equal(finer.contains(same), typical.contains(coarse))


@pytest.mark.parametrize("resolution", [12, 37])
def test_on_another_grid_only_the_base_decides(typical, resolution):
    coarse = typical.on(LAW.at(resolution))
    assert coarse.contains(SHORT.at(resolution).sample(range(5), seed=0)).all()
    assert not coarse.contains(LAW.sample(range(2), seed=0)).any()
    with pytest.raises(nw.InputError, match="not known at the nodes"):
        coarse.drift(SHORT.at(resolution).sample(range(5), seed=0))


def test_a_periodic_grid_has_one_end():
    law = PeriodicField(resolution=16, tau=3.0, gamma=3.0, modes=6)
    typical = typical_set(law, law.sample(range(300), seed=0))
    fine = law.at(48).sample(range(400, 430), seed=0)
    coarse = law.sample(range(400, 430), seed=0)
    np.testing.assert_array_equal(typical.on(law.at(48)).contains(fine), typical.contains(coarse))
    assert not typical.on(law.at(48)).contains({"u0": 9 * fine["u0"]}).any()


def test_axes_that_do_not_grow():
    """Recorded frames: the axis of times, here of one, stays while the grid is refined."""
    frames, finer = Frames("past", (9, 9), (0.0,)), Frames("past", (17, 17), (0.0,))
    values = np.random.default_rng(0).standard_normal((150, 1, 17, 17))
    typical = typical_set(frames, {"past": values[:, :, ::2, ::2]})
    assert isinstance(typical, TypicalFields)
    np.testing.assert_array_equal(
        typical.on(finer).contains({"past": values}), typical.contains({"past": values[:, :, ::2, ::2]})
    )
    assert typical.on(finer).contains({"past": 9 * values}).sum() == 0


def test_what_stays_as_it_is():
    box = Box(("k",), 0, 1)
    both = Joint((box, LAW))
    mu = both.sample(range(120), seed=0)
    held = typical_set(both, mu)
    assert isinstance(held, Joint) and held.parts[0] == box and isinstance(held.parts[1], TypicalFields)
    assert typical_set(box, {"k": mu["k"]}) is box
    assert typical_set(LAW, {"a": mu["a"][:99]}) is LAW
    assert typical_set(LAW, {"a": mu["a"]}, np.arange(50)) is LAW
    assert typical_set(LAW, {"a": np.ones_like(mu["a"])}) is LAW
    assert typical_set(held.parts[1], {"a": mu["a"]}) is held.parts[1]
    with pytest.raises(nw.InputError, match="of one"):
        TypicalFields(both, held.parts[1].density)


def test_a_file_gives_the_same_set(typical, tmp_path):
    nw.save(typical, tmp_path / "set.nwidth")
    again = nw.load(tmp_path / "set.nwidth")
    assert again == typical and fingerprint(again) == fingerprint(typical) and hash(again) == hash(typical)
    assert again != typical_set(LAW, LAW.sample(range(400), seed=1))
    mu = {"a": np.concatenate([LAW.sample(range(40), 5)["a"], SHORT.sample(range(5), 5)["a"]])}
    np.testing.assert_array_equal(again.contains(mu), typical.contains(mu))
    assert again.drift(mu) == typical.drift(mu)


def test_a_regression_on_fields_knows_its_fields():
    problem = Darcy(16, modes=16)
    runs = nw.generate(problem, 120, seed=0)
    surrogate = nw.rb.PODRegression(modes=4).fit(runs)
    assert isinstance(surrogate.parameters, TypicalFields)
    smaller = TwoValuedField(resolution=16, modes=16, low=6.0).sample(range(3), seed=0)
    assert problem.parameters.contains(smaller).all() and not surrogate.predict(smaller).inside.any()


def test_an_operator_knows_its_fields_on_every_grid(tmp_path):
    pytest.importorskip("torch")
    problem = Darcy(16, modes=16)
    runs = nw.generate(problem, 120, seed=0)
    surrogate = nw.operators.FNO(4, 4, training=nw.Training(epochs=0)).fit(runs, problem)
    finer = surrogate.at(problem.at(32).space)
    for found, cells in ((surrogate, 16), (finer, 32)):
        usual = TwoValuedField(resolution=cells, modes=16).sample(range(300, 330), seed=0)
        smaller = TwoValuedField(resolution=cells, modes=16, low=6.0).sample(range(3), seed=0)
        assert found.predict(usual).inside.mean() > 0.9 and not found.predict(smaller).inside.any()
    nw.save(surrogate, tmp_path / "fno.nwidth")
    assert nw.load(tmp_path / "fno.nwidth").parameters == surrogate.parameters


def test_what_the_base_refuses_is_outside_however_typical(typical):
    """Between the nodes of the training only the base looks."""
    finer = LAW.at(48)
    fields = finer.sample([900, 900], 0)["a"].copy()
    fields[1, 1, 1] = np.nan
    assert typical.on(finer).contains({"a": fields}).tolist() == [True, False]
