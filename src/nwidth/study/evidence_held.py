"""Whether limits held on unseen cases, and whether those cases can tell."""

import numpy as np

from nwidth.reports.evidence import Assumption, State
from nwidth.reports.words import at_most, significant
from nwidth.study.evidence_cases import Cases, Measured
from nwidth.study.field_errors import SOLVED


def held_check(text: str, how: str, measured: Measured) -> Assumption:
    """Every limit against its error; one that cannot be told, for want of a good reference, is not counted as held."""
    answered, undecided = measured.answered, measured.answered & measured.undecided
    broken, count = int((measured.broken & answered).sum()), int(answered.sum())
    if not count:
        return Assumption(text, "no unseen case has a limit", State.OPEN)
    doubt = int(undecided.sum())
    told = measured.held & answered
    state = State.FAILS if broken else State.OPEN if doubt else State.HOLDS
    number = f"{int(told.sum()):,} of {count:,}"
    if doubt:
        number += f"; {doubt:,} undecided: the reference is not known well enough"
    shown = answered & ~undecided
    if shown.any():
        ratio = (measured.limit / np.maximum(measured.error, np.finfo(float).tiny))[shown]
        number += f"; limit {significant(float(ratio.min()))} to {significant(float(ratio.max()))} x error"
    return Assumption(text, how, state, number)


def solved_check(cases: Cases) -> Assumption | None:
    """Whether the runs solve the equation that the limits were proven for: what is measured from them rests on that."""
    reference = cases.reference
    if reference is None or not np.isfinite(reference.size).all():
        return None
    wrong, count = int(reference.wrong.sum()), len(cases)
    share = reference.slack / np.maximum(reference.size, np.finfo(float).tiny)
    return Assumption.judged(
        "The unseen runs solve the equation that the limits were proven for",
        "a guaranteed bound of the distance of each run from the solution, from its residual",
        not wrong,
        f"{wrong:,} of {count:,} may be off by more than {significant(100 * SOLVED, 1)} %, the worst by up to "
        f"{at_most(100 * float(share.max()), '%')}"
        if wrong
        else f"at most {at_most(100 * float(share.max()), '%')} off",
    )
