"""Whether unseen cases are unseen, for a model file: runs that it was fitted to or calibrated on prove nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from nwidth.core.arrays import Mu
from nwidth.core.guarantee import Statistical
from nwidth.core.rows import marks
from nwidth.online.wrappers import Certified
from nwidth.reports.evidence import Assumption, State
from nwidth.snapshots.base import Snapshots
from nwidth.study.evidence_files import data_hash
from nwidth.surrogates.around import Around
from nwidth.surrogates.base import Remembering, Surrogate

_TRAINING, _CALIBRATION = "No unseen case is a training run", "No unseen case is a calibration run"


def calibration_record(runs: Snapshots) -> dict[str, Any]:
    """What a model's file keeps of the runs that its limit was calibrated on: their number, the hash of the data, and a
    mark for the parameters of each."""
    return {"runs": len(runs.good), "sha256": data_hash(runs), "marks": list(marks(runs.mu))}


def unseen_checks(certified: Certified, provenance: Mapping[str, Any], runs: Snapshots, mu: Mu) -> Iterator[Assumption]:
    """Against the runs that the surrogate remembers, and those that its file marks; left open where there are none.

    `mu`: parameters of those of the runs that are used.
    """
    yield _against_training(certified.surrogate, mu)
    if isinstance(certified.guarantee, Statistical):
        yield _against_calibration(provenance.get("holdout", {}), runs, mu)


def _against_training(surrogate: Surrogate, mu: Mu) -> Assumption:
    while isinstance(surrogate, Around) and not isinstance(surrogate, Remembering):
        surrogate = surrogate.surrogate
    if not (isinstance(surrogate, Remembering) and surrogate.remembers):
        return Assumption(_TRAINING, "the training runs are not at hand", State.OPEN)
    shared = surrogate.has_seen(mu)
    return _judged(_TRAINING, "the surrogate remembers what it was fitted to", int(shared.sum()), len(shared))


def _against_calibration(known: Mapping[str, Any], runs: Snapshots, mu: Mu) -> Assumption:
    if known.get("sha256") == data_hash(runs):
        return Assumption(_CALIBRATION, "SHA-256 of the data, against the model file", State.FAILS, "the same data")
    if "marks" not in known:
        return Assumption(_CALIBRATION, "the calibration runs are not at hand", State.OPEN)
    calibrated = set(known["marks"])
    found = [mark in calibrated for mark in marks(mu)]
    return _judged(_CALIBRATION, "the model file marks the parameters of each", sum(found), len(found))


def _judged(text: str, how: str, shared: int, total: int) -> Assumption:
    return Assumption.judged(text, how, not shared, f"{shared:,} of {total:,} shared")
