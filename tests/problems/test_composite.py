"""The composite as a problem: its parameters, its path, its errors, and the way to a file and back."""

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.base import BlackBox
from nwidth.problems.composite import Composite
from nwidth.spaces.discs import Discs

SMALL = Composite(resolution=25, steps=1, tol=1e-5)


def test_discs_keep_their_distance_and_their_area():
    discs = Discs(resolution=99, gap=0.01)
    centres = discs.centres(range(40), 3)
    apart = centres[:, :, None] - centres[:, None]
    distance = np.hypot(*np.moveaxis(apart - np.round(apart), -1, 0))
    distance[:, np.arange(12), np.arange(12)] = 1
    assert distance.min() >= 0.19
    fields = discs.fields(centres)
    np.testing.assert_allclose(fields.mean(axis=(1, 2)), 12 * np.pi * 0.09**2, rtol=0.03)
    assert discs.contains({"phase": fields}).all()
    # uniform: every place is covered about equally often
    often = Discs(resolution=25).sample(range(300), 0)["phase"].mean(axis=0)
    assert often.min() > 0.15 and often.max() < 0.46


def test_a_draw_depends_on_its_number_alone_and_exists_on_every_grid():
    discs = Discs()
    np.testing.assert_array_equal(discs.sample([5], 1)["phase"], discs.sample(range(8), 1)["phase"][5:6])
    assert (discs.sample([5], 1)["phase"] != discs.sample([5], 2)["phase"]).any()
    fine = discs.at(147).sample([5], 1)["phase"][0]
    np.testing.assert_array_equal(fine[1::3, 1::3], discs.sample([5], 1)["phase"][0])


def test_what_is_not_in_the_set():
    discs = Discs(resolution=25)
    inside = discs.sample([0], 0)["phase"]
    grey, empty, other = inside + 0.5, np.zeros_like(inside), np.zeros((1, 24, 24))
    assert discs.contains({"phase": inside}).all()
    for field in (grey, empty, np.ones_like(inside), other, np.full_like(inside, np.nan)):
        assert not discs.contains({"phase": field}).any()
    for wrong in ({"count": 30}, {"radius": 0.6}, {"resolution": 2}, {"gap": -1.0}):
        with pytest.raises(InputError):
            Discs(**wrong)


def test_the_path_goes_there_and_back():
    shear = Composite(steps=2, cycles=2).loading
    np.testing.assert_allclose(
        shear[:, 2], 0.004 * np.array([0.5, 1, 0.5, 0, -0.5, -1, -0.5, 0, 0.5, 1, 0.5, 0, -0.5, -1, -0.5, 0])
    )
    assert not shear[:, :2].any()
    np.testing.assert_allclose(Composite(steps=0).loading[:, 2], 0.004 * np.array([1, -1, 1, -1, 0]))


def test_the_discs_stay_elastic_and_the_matrix_flows():
    mu = SMALL.parameters.sample(range(2), 0)
    p = nw.solve(SMALL, mu).field
    assert p.shape == (2, 25, 25) and isinstance(SMALL, BlackBox)
    assert not p[mu["phase"] == 1].any() and (p >= 0).all()
    # without discs: 8 amplitudes of shear, four reversals: p = 2/√3 (path - elastic parts), below 2/√3 8 0.004
    assert 0.02 < p.mean() < 2 / np.sqrt(3) * 8 * 0.004


def test_a_cell_without_discs_follows_the_closed_form():
    p = SMALL.solve(np.zeros((1, 25, 25)))
    hard, G, limit, total, back, tau, gamma = 2.3, 70 / 2.6, 0.1, 0.0, 0.0, 0.0, 0.0
    for corner in (0.004, -0.004, 0.004, -0.004, 0.0):
        sign = np.sign(corner - gamma)
        elastic = (sign * (limit + 0.3 * total) / np.sqrt(3) + back - tau) / (2 * G)
        flow = 2 / np.sqrt(3) * abs(corner - gamma - elastic) * 3 * G / (3 * G + hard)
        total, back = total + flow, back + sign * 2.0 * flow / np.sqrt(3)
        tau, gamma = back + sign * (limit + 0.3 * total) / np.sqrt(3), corner
    np.testing.assert_allclose(p, total, rtol=1e-9)


def test_fewer_load_steps_cost_accuracy_not_the_answer():
    mu = {"phase": Discs(resolution=25).sample([0], 1)["phase"]}
    fine, few, fewest = (Composite(resolution=25, steps=s).solve(mu) for s in (16, 1, 0))
    few, fewest = (np.linalg.norm(p - fine) / np.linalg.norm(fine) for p in (few, fewest))
    assert 0.005 < few < 0.05 and few < fewest < 0.08


def test_through_a_store_and_a_file(tmp_path):
    snapshots = nw.generate(SMALL, 3, seed=0, path=tmp_path / "cells", workers=1)
    more = nw.generate(SMALL, 4, seed=0, path=tmp_path / "cells", workers=1)
    np.testing.assert_array_equal(np.asarray(more.fields)[:3], np.asarray(snapshots.fields))
    nw.save(SMALL, tmp_path / "problem.nwidth")
    again = nw.load(tmp_path / "problem.nwidth")
    assert again == SMALL
    np.testing.assert_array_equal(again.parameters.sample([7], 0)["phase"], SMALL.parameters.sample([7], 0)["phase"])
    parts = SMALL.to_parts()
    with pytest.raises(InputError, match="not the same problem"):
        Composite.from_parts({**parts.config, "kinematic": 2.1}, parts.arrays, {})


def test_what_is_refused():
    with pytest.raises(InputError, match="0 \\(matrix\\) and 1"):
        SMALL.solve(np.full((1, 25, 25), 0.5))
    with pytest.raises(InputError, match="batch axis"):
        SMALL.solve(np.zeros((25, 25)))
    for wrong in ({"cycles": 0}, {"steps": -1}, {"amplitude": 0.0}, {"young": (1.0, 2.0, 3.0)}, {"tol": 0.0}):
        with pytest.raises(InputError):
            Composite(**wrong)


def test_the_zoo_knows_it():
    assert nw.problems.get("composite", resolution=25) == Composite(resolution=25)
