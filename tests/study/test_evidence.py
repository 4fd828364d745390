"""The page of evidence: the same bytes for the same inputs, and every check can fail."""

import hashlib
import html
import re
from pathlib import Path

import numpy as np
import pytest
from tests.study.evidence_cases import Altered, Changed, Wobbly, checked, lifted, scaled, state_of, study_in

import nwidth as nw
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import uncertified
from nwidth.reports.evidence import State
from nwidth.study.evidence_cases import Measured
from nwidth.study.evidence_files import data_hash
from nwidth.study.evidence_statistics import coverage_check, disjoint_checks, statistical_checks
from nwidth.study.licences import licences
from nwidth.study.software_tests import read_test_counts


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return study_in(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def written(study) -> nw.study.Written:
    return nw.write_evidence(study, study.parent / "page")


@pytest.fixture(scope="module")
def model(study, written) -> Path:
    return study.parent / "plate-results" / "plate.nwidth"


@pytest.fixture(scope="module")
def problem() -> nw.Problem:
    return nw.problems.get("thermal_block", resolution=6)


@pytest.fixture(scope="module")
def certified(model, problem) -> nw.Certified:
    """The reduced basis as a surrogate of fields, bounded by their residual."""
    return nw.Certified(nw.load(model).surrogate, ResidualCertificate(problem))


def test_same_bytes_when_everything_is_done_again_elsewhere(written, tmp_path):
    """Another folder, nothing reused: no date, no time, no path may show."""
    again = nw.write_evidence(study_in(tmp_path), tmp_path / "other" / "place")
    for one, two in ((written.html, again.html), (written.markdown, again.markdown)):
        assert one.read_bytes() == two.read_bytes()
    text = written.html.read_text() + written.markdown.read_text()
    assert str(tmp_path) not in text and not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d", text)


def test_a_changed_number_changes_the_page(written, tmp_path):
    other = nw.write_evidence(study_in(tmp_path), tmp_path / "page", overrides=["seed=4"])
    assert other.html.read_bytes() != written.html.read_bytes()
    assert other.evidence.hashes["runs to test"] != written.evidence.hashes["runs to test"]


def test_everything_that_a_reviewer_asks_is_there(written, model):
    evidence = written.evidence
    assert evidence.failing == () and evidence.counted(State.HOLDS) >= 14
    texts = [a.text for a in evidence.assumptions]
    for words in (
        "unaltered",
        "symmetric",
        "stability constant is not too large",
        "continuity constant",
        "prescribed",
        "below the true error",
        "theory allows",
    ):
        assert sum(words in text for text in texts) == 1, words
    assert evidence.hashes["plate.nwidth"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert ("mu_1", "0.1 to 1", "linear") in {row[:3] for row in evidence.ranges.rows}
    assert evidence.use == "Mean temperature of a plate | of four <blocks>."
    assert {"numpy", "scipy", "nwidth"} <= {x.package for x in evidence.licences}


def test_both_files_say_the_same(written):
    page, text = html.unescape(written.html.read_text()), written.markdown.read_text()
    for assumption in written.evidence.assumptions:
        number = assumption.number
        assert number in page and number in text.replace("\\", "")
    assert "of four &lt;blocks&gt;" in written.html.read_text() and "of four \\<blocks>" in text
    assert text.count("✓ holds") == page.count("✓ holds") == written.evidence.counted(State.HOLDS)


def test_a_model_file_alone_is_checked_on_fresh_cases(model, tmp_path):
    found = nw.write_evidence(model, tmp_path, cases=5)
    assert found.evidence.failing == ()
    assert "drawn afresh" in found.evidence.ranges.note
    assert "has not said" in found.html.read_text()
    assert nw.write_evidence(model, tmp_path / "none", cases=0).evidence.counted(State.OPEN) >= 2


def test_a_model_on_runs_kept_apart(model, problem, tmp_path):
    runs = nw.generate(problem, 4, seed=5, path=tmp_path / "runs.zarr")
    stored = nw.write_evidence(model, tmp_path / "a", holdout=tmp_path / "runs.zarr")
    held = nw.write_evidence(model, tmp_path / "b", holdout=runs.take(slice(None)))
    assert stored.evidence.hashes["runs to test"] == held.evidence.hashes["runs to test"] == data_hash(runs)
    assert stored.evidence.failing == held.evidence.failing == ()


def test_one_bit_of_the_data_changes_its_hash(problem):
    runs = nw.generate(problem, 3, seed=5)
    fields = np.array(runs.fields)
    fields[2, 5] = np.nextafter(fields[2, 5], np.inf)
    assert data_hash(type(runs)(**{**vars(runs), "fields": fields})) != data_hash(runs)


@pytest.mark.parametrize(
    ("factor", "words"), [(0.5, "not below the true error"), (4.0, "theory allows")], ids=["halved", "fourfold"]
)
def test_limits_that_are_wrong_by_a_factor_are_seen(certified, problem, factor, words):
    broken = nw.Certified(certified.surrogate, Changed(certified.certificate, scaled(factor)))
    assert state_of(checked(certified, problem), words) is State.HOLDS
    assert state_of(checked(broken, problem), words) is State.FAILS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lower": 1.05}, "not too large"),
        ({"upper": 0.95}, "not too small"),
        ({"proven": False}, "proven"),
        ({"skew": 1e-6}, "symmetric"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_an_equation_that_is_not_what_it_says_is_seen(certified, problem, change, words):
    checks = checked(certified, Altered(problem, **change))
    assert [words in a.text for a in checks if a.state is State.FAILS].count(True) == 1


def test_prescribed_values_that_are_missed_are_seen(certified, problem):
    broken = nw.Certified(certified.surrogate, Changed(certified.certificate, lifted))
    assert state_of(checked(broken, problem), "prescribed values") is State.FAILS


def test_answers_that_depend_on_the_batch_are_seen(certified, problem):
    broken = nw.Certified(Wobbly(certified.surrogate), certified.certificate)
    assert state_of(checked(broken, problem), "asked alone") is State.FAILS


def calibrated(level: float = 0.9, count: int = 99) -> Statistical:
    return Statistical("largest error anywhere in the field", level, count)


def measured(share: float, count: int = 200) -> Measured:
    error = np.where(np.arange(count) < share * count, 0.5, 2.0)
    return Measured("field", "", error, np.ones(count), np.zeros(count))


@pytest.mark.parametrize(("share", "state"), [(0.97, "holds"), (0.9, "holds"), (0.86, "holds"), (0.7, "fails")])
def test_coverage_is_judged_by_what_chance_allows(share, state):
    assert coverage_check(calibrated(), measured(share)).state == state


def test_the_chance_of_so_few_is_right():
    """Calibration and test drawn again and again: the stated probability against how often it happens."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(4000):
        limit = np.sort(rng.random(99))[89]
        held.append(int((rng.random(200) <= limit).sum()))
    text = coverage_check(calibrated(), measured(0.85)).number
    stated = float(text.rpartition(": ")[2])
    assert stated == pytest.approx(np.mean(np.array(held) <= 170), abs=0.015)


def test_a_level_that_runs_cannot_promise_and_runs_in_two_parts_are_seen():
    rng = np.random.default_rng(0)
    mu = {"a": rng.random(60), "f": rng.random((60, 4, 4))}
    shared = {name: np.concatenate([values[:3], rng.random((57, *values.shape[1:]))]) for name, values in mu.items()}
    states = [a.state for a in disjoint_checks({"train": mu, "calibrate": shared})]
    assert states == [State.FAILS]
    fresh = {"a": rng.random(80), "f": rng.random((80, 4, 4))}
    shifted = {"a": rng.random(80), "f": rng.random((80, 4, 4)) + 0.3}
    for test, state in ((fresh, State.HOLDS), (shifted, State.FAILS)):
        checks = tuple(statistical_checks(calibrated(0.995), None, {"calibrate": mu, "test": test}))
        assert state_of(checks, "enough calibration runs") is State.FAILS
        assert state_of(checks, "drawn like the calibration") is state


def test_a_surrogate_without_limits_is_refused(model, tmp_path):
    nw.save(nw.load(model).surrogate, tmp_path / "bare.nwidth")
    with pytest.raises(nw.InputError, match="without limits"):
        nw.write_evidence(tmp_path / "bare.nwidth", tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("given", [{"holdout": "runs.csv"}, {"problem": "any"}], ids=["holdout", "problem"])
def test_what_belongs_to_a_model_is_refused_for_a_study(study, tmp_path, given):
    with pytest.raises(nw.InputError, match="is for a model file"):
        nw.write_evidence(study, tmp_path, **given)


def test_an_estimate_is_no_evidence(certified, problem):
    class Bare(type(certified.certificate)):
        def bound(self, prediction):
            return uncertified(prediction.mu, np.array(prediction.field), prediction.space, prediction.inside)

    checks = checked(nw.Certified(certified.surrogate, Bare(problem)), problem)
    assert state_of(checks, "proven, or calibrated") is State.FAILS


def test_licences_are_those_that_the_packages_declare():
    found = {x.package: x for x in licences()}
    assert found["numpy"].version == np.__version__ and "BSD" in found["numpy"].licence
    assert list(found) == sorted(found, key=lambda name: name.lower().replace("_", "-"))
    assert "torch" not in found and "torch" in {x.package for x in licences(["neural"])}


def test_counts_of_software_tests(tmp_path):
    path = tmp_path / "tests.xml"
    path.write_text(
        "<testsuites><testsuite><testcase name='a'/><testcase name='b'><failure/></testcase>"
        "<testcase name='c'><skipped/></testcase><testcase name='d'/></testsuite></testsuites>"
    )
    counts = read_test_counts(path)
    assert (counts.passed, counts.failed, counts.skipped) == (2, 1, 1)
    for text, words in (("", "not XML"), ("<a/>", "no test cases")):
        path.write_text(text)
        with pytest.raises(nw.InputError, match=words):
            read_test_counts(path)


def test_a_folder_that_is_a_file(model, tmp_path):
    (tmp_path / "page").write_text("in the way")
    with pytest.raises(nw.WorkError, match="choose another folder"):
        nw.write_evidence(model, tmp_path / "page", cases=2)
