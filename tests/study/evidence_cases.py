"""A study and broken copies of what it makes: each breaks one thing that a page of evidence must see."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import nwidth as nw
from nwidth.certificates.base import Certificate
from nwidth.core.prediction import Output
from nwidth.problems.base import Coercive, Stability, System
from nwidth.reports.evidence import Assumption, State
from nwidth.study.evidence_cases import cases_of
from nwidth.study.evidence_checks import Subject, checks_of
from nwidth.surrogates.around import Around

STUDY = """
seed: 3
problem:   {kind: thermal_block, resolution: 6}
snapshots: {test: 10}
fit:       {kind: reduced-basis, tol: 3.0e-2, training: 20}
evidence:  {use: "Mean temperature of a plate | of four <blocks>."}
"""


def study_in(folder: Path) -> Path:
    """The study's file in a folder."""
    path = folder / "plate.yaml"
    path.write_text(STUDY)
    return path


def state_of(checks: tuple[Assumption, ...], words: str) -> State:
    """What came of the one check whose text holds the words."""
    (found,) = [a for a in checks if words in a.text]
    return found.state


def checked(certified: nw.Certified, problem: nw.Problem, count: int = 6, **known: Any) -> tuple[Assumption, ...]:
    """All checks on fresh cases."""
    runs = nw.generate(problem, count, seed=11)
    return checks_of(Subject("case", certified, problem, cases_of(certified, problem, runs, "fresh"), **known))


class Changed(Certificate):
    """A certificate whose answers are changed afterwards."""

    kind: ClassVar[str] = "testing-changed"

    def __init__(self, inner: Certificate, change):
        self.inner, self.change = inner, change

    @property
    def guarantee(self):
        return self.inner.guarantee

    def bound(self, prediction):
        return self.change(self.inner.bound(prediction))

    def to_parts(self):
        return self.inner.to_parts()

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise nw.InputError("not stored")


def scaled(factor: float):
    """Every limit times a factor."""

    def change(answer):
        outputs = {n: Output(o.values, factor * o.limit, o.unit) for n, o in answer.outputs.items()}
        return replace(answer, bound=factor * answer.bound, outputs=outputs, lower=None)

    return change


def lifted(answer):
    """Fields that miss the prescribed values."""
    field = np.array(answer.field)
    field[:, ...] += 1e-6
    return replace(answer, values=field)


@dataclass(frozen=True)
class Altered(Coercive):
    """A problem with other constants, or another matrix, than it says."""

    inner: nw.Problem
    lower: float = 1.0
    upper: float = 1.0
    proven: bool = True
    skew: float = 0.0

    @property
    def parameters(self):
        return self.inner.parameters

    @property
    def space(self):
        return self.inner.space

    def assemble(self, mu):
        found = self.inner.assemble(mu)
        matrix = found.matrix.tocsr().copy()
        matrix.setdiag(matrix.diagonal())
        matrix.data[matrix.indices > np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))] *= 1 + self.skew
        return System(matrix, found.load, found.free, found.lift)

    def constant(self, mu, field=None):
        known = self.inner.constant(mu)
        return Stability(self.lower * known.lower, self.upper * known.upper, proven=self.proven and known.proven)


@dataclass(frozen=True)
class Wobbly(Around):
    """Answers one by one that differ from those in a batch."""

    kind: ClassVar[str] = "testing-wobbly"

    def predict(self, mu):
        answer = self.surrogate.predict(mu)
        factor = 1.001 if len(answer) == 1 else 1.0
        return replace(answer, values=factor * np.array(answer.field))
