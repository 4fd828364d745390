"""All checks of one certified surrogate, in the order in which a reviewer asks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from nwidth.core.arrays import Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.validation import select
from nwidth.online.total_error import TotalError, total_error
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Evolution, Linear, Problem
from nwidth.problems.cell_data import CellDiffusive
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.reports.evidence import Assumption, State
from nwidth.reports.words import at_most, deviation, plural, significant
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.typical import TypicalFields
from nwidth.study.evidence_cases import Cases
from nwidth.study.evidence_equation import equation_checks
from nwidth.study.evidence_held import held_check, solved_check
from nwidth.study.evidence_statistics import disjoint_checks, statistical_checks

#: Cases that are asked a second time, one by one.
_AGAIN = 4
#: Answers alone and in a batch may differ by the rounding of a network in single precision.
_ALIKE = 1e-5


@dataclass(frozen=True)
class Subject:
    """What is judged: a certified surrogate, its equation where there is one, unseen cases where there are any, and the
    parameters of the runs at hand by part (train, calibrate, test). `missing` says why there are no unseen cases."""

    name: str
    certified: Certified
    problem: Problem | None = None
    cases: Cases | None = None
    parts: Mapping[str, Mu] = field(default_factory=dict)
    known: tuple[Assumption, ...] = ()
    seed: int = 0
    missing: str = "no unseen cases were given"


def checks_of(subject: Subject) -> tuple[Assumption, ...]:
    """Every assumption with its check."""
    return (
        *_integrity(subject.certified),
        *subject.known,
        *disjoint_checks(subject.parts),
        *_cases(subject),
        *_limits(subject),
    )


def _integrity(certified: Certified) -> Iterator[Assumption]:
    yield Assumption.judged(
        "The model file is complete and unaltered", "SHA-256 of every member, checked on loading", True, "all match"
    )
    if isinstance(certified.guarantee, Statistical):  # a guaranteed limit is of the answer, whoever gave it
        yield Assumption.judged("The limit was calibrated for this surrogate",
                                "the certificate compares fingerprints, or answers, on loading", True)  # fmt: skip


def _cases(subject: Subject) -> Iterator[Assumption]:
    cases = subject.cases
    if cases is None:
        yield Assumption("The limits hold on unseen cases", subject.missing, State.OPEN)
        return
    inside, finite = cases.prediction.inside, np.isfinite(cases.prediction.bound)
    yield _all_of("Every case inside the tested range gets a limit", finite[inside], "no unseen case is inside")
    if isinstance(cases.prediction.guarantee, Statistical):
        outside = "No case outside the tested range gets a limit"
        yield _all_of(outside, ~finite[~inside], "no unseen case is outside")
    yield from _drift(subject.certified.parameters, cases)
    yield _alone_and_together(subject.certified, cases)
    if (solved := solved_check(cases)) is not None:
        yield solved
    if not isinstance(cases.prediction.guarantee, Statistical):
        how = "true error, from the full-order solver, against the stated limit"
        yield from (held_check(f"{m.name}: the limit holds on unseen cases", how, m) for m in cases.measured)
    for name, why in cases.unmeasured:
        yield Assumption(f"{name}: the limit holds on unseen cases", why, State.OPEN)


def _all_of(text: str, good: Mask, none: str) -> Assumption:
    how = "limits of the unseen cases"
    if not len(good):
        return Assumption(text, f"{how}: {none}", State.OPEN)
    return Assumption.judged(text, how, bool(good.all()), f"{int(good.sum()):,} of {len(good):,}")


def _drift(space: ParameterSpace, cases: Cases) -> Iterator[Assumption]:
    """Whether unseen fields are drawn like the training fields, where the surrogate keeps a test of that."""
    if isinstance(space, TypicalFields):
        p, why = space.drift(cases.mu)
        yield Assumption.judged(
            "The unseen fields are drawn like the training fields",
            f"distribution of each measure of a field against training fields held out; {why}" if why else
            "distribution of each measure of a field against training fields held out",
            p > 0.01,
            f"p = {significant(p)}",
        )  # fmt: skip


def _alone_and_together(certified: Certified, cases: Cases) -> Assumption:
    """A compiled path for single queries, or padding of batches, must not change an answer."""
    rows = range(min(_AGAIN, len(cases)))
    alone = [certified.predict(select(cases.mu, slice(i, i + 1))) for i in rows]
    apart = max((_apart(one, cases.prediction.take(slice(i, i + 1))) for i, one in zip(rows, alone, strict=True)),
                default=0.0)  # fmt: skip
    return Assumption.judged(
        "A case asked alone gets the answer that it gets in a batch",
        f"{plural(len(rows), 'case')} asked again, one by one: fields, outputs, limits",
        apart <= _ALIKE,
        f"apart by: {deviation(apart)}",
    )


def _apart(one: Prediction, other: Prediction) -> float:
    pairs = [(np.asarray(one.field), np.asarray(other.field)), (one.bound, other.bound)]
    for name, o in one.outputs.items():
        pairs += [(o.values, other.outputs[name].values), (o.limit, other.outputs[name].limit)]
    return max((_relative(np.asarray(a), np.asarray(b)) for a, b in pairs if np.size(a)), default=0.0)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    size = float(np.abs(b[both]).max(initial=0.0))
    return float(np.abs(a[both] - b[both]).max(initial=0.0)) / size if size else 0.0


def _limits(subject: Subject) -> Iterator[Assumption]:
    """What the kind of limit rests on."""
    guarantee = subject.cases.prediction.guarantee if subject.cases else subject.certified.guarantee
    match guarantee:
        case Statistical():
            yield from statistical_checks(guarantee, subject.cases, subject.parts)
        case Estimate(missing=missing):
            yield Assumption.judged("The limit is proven, or calibrated", "its kind", False, f"missing: {missing}")
        case Rigorous():
            yield from _guaranteed(subject, guarantee)
    if "discretisation" not in getattr(guarantee, "covers", ()):
        yield from mesh_checks(subject)


def _guaranteed(subject: Subject, guarantee: Rigorous) -> Iterator[Assumption]:
    problem, cases = subject.problem, subject.cases
    if problem is None:
        yield Assumption("The equation is the one that the limit was proven for", "no equation is at hand", State.OPEN)
    elif cases is not None and isinstance(problem, Linear) and not isinstance(problem, Evolution):
        yield from equation_checks(subject.certified.certificate, problem, cases.prediction, subject.seed)


def mesh_checks(subject: Subject) -> Iterator[Assumption]:
    """The mesh's own error: bounded against the exact solution where that is possible, else left to the author."""
    text = "The full-order solution is close enough to the exact one (mesh, time steps)"
    found = None if subject.cases is None else _total(subject.problem, subject.cases.prediction)
    if found is None:
        yield Assumption(text, "outside of the limit; the author's judgement", State.OPEN)
    else:
        how = f"equilibrated flux, against the exact solution, in {plural(len(found), 'case')}; whether that is close "
        whole, mesh = (
            at_most(100 * float(np.max(part / found.norm)), "%") for part in (found.total, found.discretisation)
        )
        yield Assumption(text, f"{how}enough is the author's judgement", State.OPEN,
                         f"whole error at most {whole} of the answer, the mesh's part at most {mesh}")  # fmt: skip
    yield Assumption("Material data, loads and the model itself are close enough to reality",
                     "outside of every limit here; the author's judgement", State.OPEN)  # fmt: skip


def _total(problem: Problem | None, prediction: Prediction) -> TotalError | None:
    """The total error of a few answers; None for an equation or an answer that the bound does not know."""
    if not isinstance(problem, GridDiffusion | CellDiffusive):
        return None
    try:
        return total_error(prediction.take(slice(0, _AGAIN)), problem)
    except InputError:
        return None
