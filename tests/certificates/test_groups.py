"""Limits by group hold in every group, where one limit for all does not; accepted answers are a group of their own."""

from dataclasses import replace

import numpy as np
import pytest
from tests.certificates.conformal_cases import Quadratic, QuadraticSurrogate, bare, deviation, runs

from nwidth.certificates.conformal import calibrate
from nwidth.certificates.groups import ByDifficulty, ByRange, Grouped
from nwidth.certificates.quantile import largest_accepted, quantile, rank
from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.online.wrappers import Certified

SURROGATE = Quadratic().fit(bare(20, seed=1))
HALVES = ByRange("a", (0.0,))


def held(certificate, data):
    """Whether each fresh run lies within its limit."""
    answer = certificate.bound(SURROGATE.predict(data.mu))
    return np.abs(answer.field - data.fields).max(axis=1) <= answer.bound, answer


def repeats(count, size, fresh=60, **options):
    """Per repeat: the certificate, whether fresh runs were held, and their answers."""
    for i in range(count):
        certificate = calibrate(SURROGATE, bare(size, seed=[11, i]), 0.9, seed=i, **options)
        data = bare(fresh, seed=[12, i])
        yield certificate, data, *held(certificate, data)


def test_the_limit_holds_in_each_group_and_a_common_limit_does_not():
    found = {"groups": ([], [], []), "common": ([], [], [])}
    for how, options in {"groups": {"groups": HALVES}, "common": {}}.items():
        for certificate, data, ok, _ in repeats(60, 60, scale="one for all", **options):
            steep = data.mu["a"] >= 0
            hits, counts, calibrated = found[how]
            hits.append(ok[steep].sum())
            counts.append(steep.sum())
            runs_of = certificate.cutoff.counts("field") if how == "groups" else {HALVES.labels[1]: 40}
            calibrated.append(runs_of[HALVES.labels[1]])
    assert abs(deviation(*found["groups"])) < 4
    assert deviation(*found["common"]) < -5, "the steep half is let down by a limit for all"


def test_each_group_has_the_order_statistic_of_its_own_runs():
    data = bare(50, seed=3)
    certificate = calibrate(SURROGATE, data, 0.8, groups=HALVES, scale="one for all")
    errors = np.abs(SURROGATE.predict(data.mu).field - data.fields).max(axis=1)
    _, answer = held(certificate, bare(40, seed=4))
    order = np.random.default_rng([0, 50]).permutation(50)[16:]  # a third chooses the scale
    for g, label in enumerate(HALVES.labels):
        own = np.sort(errors[order][(data.mu["a"][order] >= 0) == g])
        here = (answer.mu["a"] >= 0) == g
        np.testing.assert_allclose(answer.bound[here], own[rank(len(own), 0.8) - 1], rtol=1e-10, err_msg=label)
    assert "in every group on its own (a < 0, a >= 0)" in str(answer.guarantee)


def test_groups_of_too_few_runs_are_refused_by_name():
    with pytest.raises(InputError, match=r"group 'a >= 0\.9': level 0\.9 needs at least 9 calibration runs"):
        calibrate(SURROGATE, bare(60, seed=3), groups=ByRange("a", (0.9,)))
    with pytest.raises(InputError, match="neither a parameter nor an output; choose one of a, b"):
        calibrate(SURROGATE, bare(60, seed=3), groups=ByRange("load", (0.0,)))
    with pytest.raises(InputError, match="increasing"):
        ByRange("a", (1.0, 0.0))


def test_groups_by_a_predicted_output():
    surrogate = Quadratic().fit(runs(20, seed=1))
    certificate = calibrate(surrogate, runs(120, seed=2), groups=ByRange("peak", (3.0,)), scale="one for all")
    answer = certificate.bound(surrogate.predict(runs(30, seed=5).mu))
    high = answer.outputs["peak"].values >= 3.0
    assert len(np.unique(answer.bound[high])) == len(np.unique(answer.bound[~high])) == 1
    assert answer.bound[high][0] > answer.bound[~high][0]


def test_labels_and_edges():
    groups = ByRange("a", (-0.5, 0.5))
    assert groups.labels == ("a < -0.5", "-0.5 <= a < 0.5", "a >= 0.5")
    mu = {"a": np.array([-0.5, 0.5, -0.6, np.nan]), "b": np.zeros(4)}
    assert groups(SURROGATE.predict(mu), np.zeros(4)).tolist() == [1, 2, 0, -1]


# --- whom a tolerance accepts --------------------------------------------------------------------------------------


def test_the_largest_accepted_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    g = rng.standard_normal(40)
    errors = g + 0.3 * rng.standard_normal(40)
    for tolerance in (-1.0, 0.0, 0.5):
        fits = [t for t in g if (g <= t).sum() >= 9 and t + quantile((errors - g)[g <= t], 0.9) <= tolerance]
        assert largest_accepted(g, errors, tolerance, 0.9) == max(fits, default=-np.inf)


def test_coverage_among_the_accepted_keeps_to_its_law():
    """The group is chosen before the limit is known: given its number of runs the hits are beta-binomial."""
    hits, counts, calibrated, accepted = [], [], [], []
    for certificate, _, ok, answer in repeats(40, 150, scale="parameters", accept=0.35):
        easy = certificate.cutoff.groups(answer, certificate.expected(answer)["field"]) == 0
        n = certificate.cutoff.counts("field")[certificate.cutoff.groups.labels[0]]
        if n < 9:
            assert np.isinf(answer.bound[easy]).all()
            continue
        hits.append(ok[easy].sum())
        counts.append(easy.sum())
        calibrated.append(n)
        accepted.append((answer.bound <= 0.35).mean())
    assert len(hits) > 30 and abs(deviation(hits, counts, calibrated)) < 4
    assert 0.1 < np.mean(accepted) < 0.9


def test_whom_to_accept_is_not_chosen_on_the_runs_that_calibrate():
    data = bare(150, seed=3)
    certificate = calibrate(SURROGATE, data, scale="parameters", accept=0.35)
    order = np.random.default_rng([0, 150]).permutation(150)
    fields = np.array(data.fields)
    fields[order[50:]] *= 1.5  # other truths for the runs that calibrate
    other = calibrate(SURROGATE, replace(data, fields=fields), scale="parameters", accept=0.35)
    assert certificate.cutoff.groups == other.cutoff.groups
    assert not np.array_equal(certificate.scores["field"], other.scores["field"])


def test_accepting_needs_runs_that_choose_and_a_positive_tolerance():
    with pytest.raises(InputError, match="accept= needs runs that choose"):
        calibrate(SURROGATE, bare(30, seed=3), accept=0.3)
    with pytest.raises(InputError, match="number above zero"):
        calibrate(SURROGATE, bare(90, seed=3), accept=0.0)
    with pytest.raises(InputError, match="groups and accept; calibrate for one of them"):
        calibrate(SURROGATE, bare(90, seed=3), accept=0.1, groups=HALVES)


def test_a_tolerance_that_nobody_meets_accepts_nobody_and_the_others_keep_a_limit():
    certificate = calibrate(SURROGATE, bare(150, seed=3), accept=1e-9, scale="parameters")
    ok, answer = held(certificate, bare(50, seed=4))
    assert certificate.cutoff.counts("field")[certificate.cutoff.groups.labels[0]] == 0
    assert np.isfinite(answer.bound).all() and (answer.bound > 1e-9).all() and ok.mean() > 0.7


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"groups": HALVES}, {"accept": 0.35, "scale": "parameters"}], ids=["range", "accept"]
)
def test_a_file_brings_the_groups_back(tmp_path, options):
    certified = Certified(SURROGATE, calibrate(SURROGATE, bare(150, seed=3), **options))
    again = load(save(certified, tmp_path / "g.nwidth"), kinds=[QuadraticSurrogate])
    mu = bare(20, seed=9).mu
    np.testing.assert_array_equal(again.predict(mu).bound, certified.predict(mu).bound)
    assert again.guarantee == certified.guarantee and isinstance(again.certificate.cutoff, Grouped)
    assert isinstance(again.certificate.cutoff.groups, ByRange | ByDifficulty)
