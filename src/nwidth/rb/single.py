"""One query at a time, as a control loop or an optimiser asks: everything in one compiled call on one block of numbers.

The same formulas as `nwidth.rb.batched` with `nwidth.certificates.reduced`, where many queries are answered side by
side. Here a matrix is factorised once for the solution and all dual solutions, its columns are contiguous, and the
residual's coordinates use that a mode's rows end where the residual's basis ended when the mode was added.

Packed columns: entry (i, j), i >= j, of a symmetric matrix stands at `j n - j (j - 1) / 2 + (i - j)`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from nwidth.core.arrays import Array, Real
from nwidth.core.programs import run
from nwidth.rb.many import compliances
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.rb.rounding import EPS, gamma

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
    "nogil": True,
}
_TINY = float(np.finfo(np.float64).tiny)
#: Numbers in front of the table: the residual's gain, ‖lift‖ rounded once, the rounding of a sum over the modes.
_SCALARS = 3


@dataclass(frozen=True, eq=False)
class SingleQuery:
    """A reduced model, its residual and their rounding as one table.

    `sizes` = (n, Q_A, Q_f, s); `levels` as in `ResidualModel`.
    """

    table: Real
    sizes: Array
    levels: Array

    @classmethod
    def of(cls, model: ReducedModel, residual: ResidualModel) -> "SingleQuery":
        """The table. The parts stand in the order in which `answer` takes them off."""
        n, held, count = model.modes, len(model.loads), len(model.functionals)
        lower = np.tril_indices(n)
        columns = np.lexsort(lower)
        width = residual.rows.shape[1]
        scalars = [residual.gain * (1 + gamma(width + 16)), 2 * EPS * model.lift_length, gamma(n + 2)]
        parts = [
            np.array(scalars),
            model.matrices[:, lower[0][columns], lower[1][columns]],
            model.loads,
            model.functionals,
            model.offsets,
            residual.weights,
            model.lengths,
            np.insert(model.term_weights, [held] * count, 0.0),
            np.ascontiguousarray(model.output_weights.T),
            model.term_norms,
            compliances(model, residual),
            *_ragged(residual, len(model.matrices)),
        ]
        table = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])
        return cls(table, np.array([n, len(model.matrices), held, count]), np.asarray(residual.levels, dtype=np.int64))


def _ragged(residual: ResidualModel, terms: int) -> list[Real]:
    """The rows without the zeros behind them: first those of loads and functionals, then mode by mode."""
    fixed, levels = residual.fixed, residual.levels
    modes = residual.rows[fixed:].reshape(len(levels) - 1, terms, -1)
    return [
        residual.rows[:fixed, : levels[0]],
        *(rows[:, :width] for rows, width in zip(modes, levels[1:], strict=True)),
    ]


@njit(**_OPTIONS)
def _assemble(theta: Real, terms: Real, a: Real) -> None:
    """`Σ θ_q terms_q`, three terms a pass."""
    count = len(theta)
    threes = count - count % 3
    a[:] = 0.0
    for q in range(0, threes, 3):
        e, f, g = theta[q], theta[q + 1], theta[q + 2]
        x, y, z = terms[q], terms[q + 1], terms[q + 2]
        for i in range(len(a)):
            a[i] += e * x[i] + f * y[i] + g * z[i]
    for q in range(threes, count):
        e, x = theta[q], terms[q]
        for i in range(len(a)):
            a[i] += e * x[i]


@njit(**_OPTIONS)
def _factorise(n: int, a: Real) -> None:
    """Cholesky's factor in place, four columns subtracted at a time; the diagonal holds reciprocals, NaN where the
    matrix is not positive definite."""
    for j in range(n):
        start = j * n - j * (j - 1) // 2
        column = a[start : start + n - j]
        fours = j - j % 4
        for k in range(0, fours, 4):
            first = k * n - k * (k - 1) // 2 + j - k
            second = first + n - k - 1
            third = second + n - k - 2
            fourth = third + n - k - 3
            x, y, z, w = a[first:], a[second:], a[third:], a[fourth:]
            e, f, g, h = x[0], y[0], z[0], w[0]
            for i in range(n - j):
                column[i] -= e * x[i] + f * y[i] + g * z[i] + h * w[i]
        for k in range(fours, j):
            x = a[k * n - k * (k - 1) // 2 + j - k :]
            e = x[0]
            for i in range(n - j):
                column[i] -= e * x[i]
        scale = 1.0 / np.sqrt(column[0])
        column[0] = scale
        for i in range(1, n - j):
            column[i] *= scale


@njit(**_OPTIONS)
def _substitute(n: int, a: Real, x: Real) -> None:
    """Solve with the factor in place."""
    for j in range(n):
        start = j * n - j * (j - 1) // 2 - j
        x[j] *= a[start + j]
        value = x[j]
        for i in range(j + 1, n):
            x[i] -= value * a[start + i]
    for j in range(n - 1, -1, -1):
        start = j * n - j * (j - 1) // 2 - j
        total = x[j]
        for i in range(j + 1, n):
            total -= a[start + i] * x[i]
        x[j] = total * a[start + j]


@njit(**_OPTIONS)
def _remainder(n: int, a: Real, x: Real, r: Real) -> None:
    """`r -= A x`."""
    for j in range(n):
        start = j * n - j * (j - 1) // 2 - j
        value, total = x[j], a[start + j] * x[j]
        for i in range(j + 1, n):
            r[i] -= value * a[start + i]
            total += a[start + i] * x[i]
        r[j] -= total


@njit(**_OPTIONS)
def _coordinates(theta: Real, mode: Real, rows: Real, levels: Array, y: Real) -> None:
    """`y = -Σ_jq θ_q mode_j ρ_jq`, rows as `_ragged` gives them, without those of loads and functionals."""
    terms, place = len(theta), 0
    y[:] = 0.0
    fours = terms - terms % 4
    for j in range(len(mode)):
        width, amount = levels[j + 1], mode[j]
        for q in range(0, fours, 4):
            e, f, g, h = theta[q] * amount, theta[q + 1] * amount, theta[q + 2] * amount, theta[q + 3] * amount
            first, second, third, fourth = (
                rows[place : place + width],
                rows[place + width : place + 2 * width],
                rows[place + 2 * width : place + 3 * width],
                rows[place + 3 * width : place + 4 * width],
            )
            for m in range(width):
                y[m] -= e * first[m] + f * second[m] + g * third[m] + h * fourth[m]
            place += 4 * width
        for q in range(fours, terms):
            e, first = theta[q] * amount, rows[place : place + width]
            for m in range(width):
                y[m] -= e * first[m]
            place += width


@njit(**_OPTIONS)
def _norm(y: Real, scale: float, fixed: Real, amounts: Real) -> float:
    """`‖scale y + Σ_k amounts_k fixed_k‖₂` for fixed rows `(F, W)`, zero beyond W."""
    total, width = 0.0, fixed.shape[1]
    for m in range(width):
        value = scale * y[m]
        for k in range(len(fixed)):
            value += amounts[k] * fixed[k, m]
        total += value * value
    for m in range(width, len(y)):
        total += (scale * y[m]) ** 2
    return np.sqrt(total)


@njit(**_OPTIONS)
def _weighted(fixed: Real, theta: Real, mode: Real, weights: Real) -> float:
    """`Σ_k |z_k| w_k`."""
    total, held = 0.0, len(fixed)
    for k in range(held):
        total += abs(fixed[k]) * weights[k]
    for j in range(len(mode)):
        part = 0.0
        for q in range(len(theta)):
            part += abs(theta[q]) * weights[held + j * len(theta) + q]
        total += abs(mode[j]) * part
    return total


@njit(**_OPTIONS)
def answer(table: Real, sizes: Array, levels: Array, theta: Real, phi: Real, lower: float) -> Real:
    """`(bound, floor, values (s), limits (s), coefficients (n))` of one query, in one array; NaN in the bound where the
    reduced matrix is not positive definite.

    θ `(Q_A,)`, φ `(Q_f,)`, `lower` the stability constant. The formulas are those of `ReducedCertificate`.
    """
    n, terms, held, count = sizes[0], sizes[1], sizes[2], sizes[3]
    packed, fixed = n * (n + 1) // 2, held + count
    total = fixed + terms * n
    gain, lift, small = table[0], table[1], table[2]
    at = _SCALARS
    matrices = table[at : at + terms * packed].reshape(terms, packed)
    at += terms * packed
    loads = table[at : at + held * n].reshape(held, n)
    at += held * n
    functionals = table[at : at + count * n].reshape(count, n)
    at += count * n
    offsets = table[at : at + count]
    at += count
    weights = table[at : at + total]
    at += total
    lengths = table[at : at + n]
    at += n
    term_weights = table[at : at + total]
    at += total
    output_weights = table[at : at + count * n].reshape(count, n)
    at += count * n
    term_norms = table[at : at + terms]
    at += terms
    kappa = table[at : at + count]
    at += count
    loose = table[at : at + fixed * levels[0]].reshape(fixed, levels[0])
    rows = table[at + fixed * levels[0] :]

    out = np.empty(2 + 2 * count + n)
    modes, z = np.empty((1 + count, n)), np.zeros((1 + count, fixed))
    a, r = np.empty(packed), np.zeros(n)
    _assemble(theta, matrices, a)
    for q in range(held):
        for i in range(n):
            r[i] += phi[q] * loads[q, i]
        z[0, q] = phi[q]
    c = modes[0]
    c[:] = r
    factor = a.copy()
    _factorise(n, factor)
    _substitute(n, factor, c)
    if count:
        _remainder(n, a, c, r)
    norms, y, own_y = np.empty(1 + count), np.empty(levels[n]), np.empty(levels[n])
    _coordinates(theta, c, rows, levels, y)
    norms[0] = _norm(y, 1.0, loose, z[0])
    for s in range(count):
        z[1 + s, held + s] = 1.0
        d = modes[1 + s]
        if np.isnan(kappa[s]):
            d[:] = functionals[s]
            _substitute(n, factor, d)
            _coordinates(theta, d, rows, levels, own_y)
            norms[1 + s] = _norm(own_y, 1.0, loose, z[1 + s])
        else:  # the functional is κ times the load: Galerkin's dual solution is the primal one, scaled
            scale = kappa[s] / phi[0] if phi[0] != 0.0 else 0.0
            for i in range(n):
                d[i] = scale * c[i]
            norms[1 + s] = _norm(y, scale, loose, z[1 + s])

    root = np.sqrt(lower)
    floor = _weighted(z[0], theta, c, weights) / root * (1 + 16 * EPS)
    energy = (norms[0] * gain / root + floor) * (1 + 16 * EPS) + _TINY
    length, norm = 0.0, 0.0
    for i in range(n):
        length += abs(c[i]) * lengths[i]
        out[2 + 2 * count + i] = c[i]
    for q in range(terms):
        norm += abs(theta[q]) * term_norms[q]
    made = np.sqrt(norm) * (small * length + lift)
    out[0], out[1] = energy + made, floor + made
    size = _weighted(z[0], theta, c, term_weights) if count else 0.0
    for s in range(count):
        d = modes[1 + s]
        value, rounding, shift = offsets[s] + np.dot(d, r), 0.0, 0.0
        for i in range(n):
            value += c[i] * functionals[s, i]
            rounding += abs(c[i]) * output_weights[s, i]
            shift += abs(d[i]) * lengths[i]
        own = _weighted(z[1 + s], theta, d, weights) / root * (1 + 16 * EPS)
        dual = (norms[1 + s] * gain / root + own) * (1 + 16 * EPS) + _TINY
        rounding += shift * size + 4 * EPS * (abs(value) + abs(offsets[s]))
        out[2 + s], out[2 + count + s] = value, (energy * dual + rounding) * (1 + 8 * EPS)
    return out


@njit(**_OPTIONS)
def _compared(theta: Real, reference: Real) -> float:
    """The constant of `nwidth.problems.min_theta.min_theta`; the last entry of the reference is the slack."""
    low = high = theta[0] / reference[0]
    for q in range(1, len(theta)):
        ratio = theta[q] / reference[q]
        low, high = min(low, ratio), max(high, ratio)
    return low - reference[len(theta)] * (abs(low) + abs(high))


@njit(**_OPTIONS)
def answer_at(
    point: Real,
    box: Real,
    theta_program: Real,
    phi_program: Real,
    reference: Real,
    table: Real,
    sizes: Array,
    levels: Array,
) -> tuple[Real, bool]:
    """`answer` at a point `(1, P)` whose coefficients are programs and whose constant compares them, and whether the
    point lies in the box `(2, P)`. The bound is NaN where a coefficient is not finite or the constant not positive."""
    theta, phi = np.empty((1, sizes[1])), np.empty((1, sizes[2]))
    bad = max(run(theta_program, point, theta), run(phi_program, point, phi))
    lower = _compared(theta[0], reference)
    inside = True
    for i in range(point.shape[1]):
        inside = inside and box[0, i] <= point[0, i] <= box[1, i]
    if bad >= 0 or not lower > 0.0:
        return np.full(2 + 2 * sizes[3] + sizes[0], np.nan), inside
    return answer(table, sizes, levels, theta[0], phi[0], lower), inside
