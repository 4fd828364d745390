"""The page of evidence: the same bytes every time, a constant that is wrong seen, and what it costs."""

import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

from _harness import Row

import nwidth as nw
from nwidth.certificates.residual import ResidualCertificate
from nwidth.problems.base import Coercive
from nwidth.reports.evidence import State
from nwidth.study.evidence_cases import cases_of
from nwidth.study.evidence_checks import Subject, checks_of


class _Claims(Coercive):
    """A problem that claims a coercivity constant larger than the true one."""

    def __init__(self, inner: Any, factor: float) -> None:
        self.inner, self.factor = inner, factor

    @property
    def parameters(self):
        return self.inner.parameters

    @property
    def space(self):
        return self.inner.space

    def assemble(self, mu):
        return self.inner.assemble(mu)

    def systems(self, mu):
        return self.inner.systems(mu)

    def constant(self, mu, field=None):
        known = self.inner.constant(mu)
        return replace(known, lower=self.factor * known.lower)


def rows(quick: bool, seed: int) -> list[Row]:
    """Files that differ between two pages, false constants that are seen, and seconds of one page."""
    problem = nw.problems.get("darcy", resolution=16 if quick else 64)
    runs = nw.generate(problem, 60 if quick else 200, seed=seed)
    certified = nw.certify(nw.rb.PODRegression(modes=20).fit(runs), problem)
    wrong = [_caught(certified, problem, factor, seed) for factor in (1.01, 1.001)]
    return [*_pages(certified, 20 if quick else 100), *wrong]


def _pages(certified: nw.Certified, cases: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        model = nw.save(certified, Path(folder) / "model.nwidth")
        begin = process_time()
        pages = [nw.write_evidence(model, Path(folder) / name, cases=cases) for name in ("one", "two")]
        seconds = (process_time() - begin) / 2
        differ = sum(
            a.read_bytes() != b.read_bytes() for a, b in zip(*((p.html, p.markdown) for p in pages), strict=True)
        )
    return [
        Row("evidence: files that differ when the page is made again", differ, "", 0, "=="),
        Row(
            "evidence: assumptions that fail for a sound certificate",
            pages[0].evidence.counted(State.FAILS),
            "",
            0,
            "==",
        ),
        Row("evidence: one page", seconds, "s", detail={"cases solved": cases, "verdict": pages[0].evidence.verdict}),
    ]


def _caught(certified: nw.Certified, problem: Any, factor: float, seed: int) -> Row:
    """Whether the page says that the constant is wrong, for each of four batches of unseen cases."""
    claims, seen, softest = _Claims(problem, factor), 0, []
    for batch in range(4):
        runs = nw.generate(problem, 4, seed=seed + 1 + batch)
        wrong = nw.Certified(certified.surrogate, ResidualCertificate(claims))
        subject = Subject("wrong", wrong, claims, cases_of(wrong, claims, runs, "fresh"))
        (check,) = [a for a in checks_of(subject) if "stability constant is not too large" in a.text]
        seen += check.state is State.FAILS
        softest.append(check.number)
    name = f"evidence: a coercivity constant {factor - 1:.1%} too large is seen"
    return Row(name, seen / 4, "", 1.0, "==", {"softest": softest})
