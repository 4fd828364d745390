"""One query at a time, as a control loop or an optimiser asks: everything in one compiled call on one block of numbers.

The same formulas as `nwidth.rb.batched` with `nwidth.certificates.reduced`, where many queries are answered side by
side. Here a matrix is factorised once for the solution and all dual solutions, its columns are contiguous, and the
residual's coordinates use that a mode's rows end where the residual's basis ended when the mode was added.

Packed columns: entry (i, j), i >= j, of a symmetric matrix stands at `j n - j (j - 1) / 2 + (i - j)`.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from nwidth.core.arrays import Array, Real
from nwidth.core.programs import run
from nwidth.rb.batched import OPTIONS
from nwidth.rb.many import compliances
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.rb.rounding import EPS, gamma
from nwidth.spaces.ldlt_kernels import aligned

_TINY = float(np.finfo(np.float64).tiny)
#: Doubles in a cache line.
_LINE = 8
#: Numbers in front of the table: the residual's gain, ‖lift‖ rounded once, the rounding of a sum over the modes.
_SCALARS = 3


@dataclass(frozen=True, eq=False)
class SingleQuery:
    """A reduced model, its residual and their rounding as one table.

    `sizes` = (n, Q_A, Q_f, s); `rows`: the residual's, each up to its width, `widths (n + 1,)`: `ResidualModel.levels`
    rounded up to whole cache lines, where every row begins.
    """

    table: Real
    sizes: Array
    rows: Real
    widths: Array

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
            *_by_terms(residual.weights, residual.fixed, n),
            *_by_terms(np.insert(model.term_weights, [held] * count, 0.0), residual.fixed, n),
            model.lengths,
            model.output_weights.T,
            model.term_norms,
            compliances(model, residual),
        ]
        table = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])
        widths = -(-np.asarray(residual.levels, dtype=np.int64) // _LINE) * _LINE
        return cls(table, np.array([n, len(model.matrices), held, count]), _ragged(residual, widths), widths)


def _by_terms(weights: Real, fixed: int, modes: int) -> tuple[Real, Real]:
    """Weights of loads and functionals, and those of the terms with the modes as the fast index."""
    return weights[:fixed], weights[fixed:].reshape(modes, -1).T


def _ragged(residual: ResidualModel, widths: Array) -> Real:
    """The rows without most of the zeros behind them: first those of loads and functionals, then mode by mode."""
    fixed, count = residual.fixed, len(residual.rows)
    each = np.concatenate(
        [np.full(fixed, widths[0]), np.repeat(widths[1:], (count - fixed) // max(1, len(widths) - 1))]
    )
    rows, place = aligned((int(each.sum()),), np.float64), 0
    for row, width in zip(residual.rows, each, strict=True):
        kept = row[:width]
        rows[place : place + len(kept)] = kept
        rows[place + len(kept) : place + width] = 0.0
        place += width
    return rows


@njit(**OPTIONS)
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


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _substitute(n: int, a: Real, x: Real) -> None:
    """Solve with the factor in place, two columns at a time."""
    even = n - n % 2
    for j in range(0, even, 2):
        start = j * n - j * (j - 1) // 2
        y, z = a[start : start + n - j], a[start + n - j : start + 2 * (n - j) - 1]
        x[j] *= y[0]
        x[j + 1] = (x[j + 1] - x[j] * y[1]) * z[0]
        first, second, rest = x[j], x[j + 1], x[j + 2 :]
        y, z = y[2:], z[1:]
        for i in range(n - j - 2):
            rest[i] -= first * y[i] + second * z[i]
    if even < n:
        x[even] *= a[len(a) - 1] * a[len(a) - 1]
    for j in range(even - 2, -1, -2):
        start = j * n - j * (j - 1) // 2
        y, z = a[start : start + n - j], a[start + n - j : start + 2 * (n - j) - 1]
        rest, u, v = x[j + 2 :], y[2:], z[1:]
        first, second = 0.0, 0.0
        for i in range(n - j - 2):
            first += u[i] * rest[i]
            second += v[i] * rest[i]
        x[j + 1] = (x[j + 1] - second) * z[0]
        x[j] = (x[j] - first - y[1] * x[j + 1]) * y[0]


@njit(**OPTIONS)
def _remainder(n: int, a: Real, x: Real, r: Real) -> None:
    """`r -= A x`, two columns at a time."""
    even = n - n % 2
    for j in range(0, even, 2):
        start = j * n - j * (j - 1) // 2
        y, z = a[start : start + n - j], a[start + n - j : start + 2 * (n - j) - 1]
        first, second = x[j], x[j + 1]
        rest, below, u, v = x[j + 2 :], r[j + 2 :], y[2:], z[1:]
        top, next_one = y[0] * first + y[1] * second, y[1] * first + z[0] * second
        for i in range(n - j - 2):
            below[i] -= first * u[i] + second * v[i]
            top += u[i] * rest[i]
            next_one += v[i] * rest[i]
        r[j] -= top
        r[j + 1] -= next_one
    if even < n:
        r[even] -= a[len(a) - 1] * x[even]


@njit(**OPTIONS)
def _coordinates(theta: Real, mode: Real, rows: Real, widths: Array, y: Real) -> None:
    """`y = -Σ_jq θ_q mode_j ρ_jq`, rows as `_ragged` gives them, without those of loads and functionals."""
    terms, place = len(theta), 0
    y[:] = 0.0
    fours = terms - terms % 4
    for j in range(len(mode)):
        width, amount = widths[j + 1], mode[j]
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


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _weighted(theta: Real, mode: Real, weights: Real) -> float:
    """`Σ_jq |θ_q mode_j| w_qj` for weights `(Q_A, n)`."""
    total = 0.0
    for q in range(len(theta)):
        part, row = 0.0, weights[q]
        for j in range(len(mode)):
            part += abs(mode[j]) * row[j]
        total += abs(theta[q]) * part
    return total


@njit(**OPTIONS)
def _solved(sizes: Array, table: Real, theta: Real, phi: Real, a: Real, factor: Real, c: Real, r: Real) -> int:
    """The reduced matrix, its factor, the solution, and the load less the matrix times it; where the table goes on."""
    n, terms, held, packed = sizes[0], sizes[1], sizes[2], len(a)
    at = _SCALARS + terms * packed
    _assemble(theta, table[_SCALARS:at].reshape(terms, packed), a)
    for q in range(held):
        load = table[at + q * n : at + (q + 1) * n]
        for i in range(n):
            r[i] += phi[q] * load[i]
    c[:] = r
    factor[:] = a
    _factorise(n, factor)
    _substitute(n, factor, c)
    if sizes[3]:
        _remainder(n, a, c, r)
    return at + held * n


@njit(**OPTIONS)
def _size(numbers: Real, weights: Real) -> float:
    """`Σ_i |numbers_i| weights_i`."""
    total = 0.0
    for i in range(len(numbers)):
        total += abs(numbers[i]) * weights[i]
    return total


@njit(**OPTIONS)
def answer(table: Real, sizes: Array, rows: Real, widths: Array, theta: Real, phi: Real, lower: float) -> Real:
    """`(bound, floor, values (s), limits (s), coefficients (n))` of one query, in one array; NaN in the bound where the
    reduced matrix is not positive definite.

    θ `(Q_A,)`, φ `(Q_f,)`, `lower` the stability constant. The formulas are those of `ReducedCertificate`.
    """
    n, terms, held, count = sizes[0], sizes[1], sizes[2], sizes[3]
    fixed, gain, lift, small = held + count, table[0], table[1], table[2]
    loose, rows = rows[: fixed * widths[0]].reshape(fixed, widths[0]), rows[fixed * widths[0] :]
    out, z = np.empty(2 + 2 * count + n), np.zeros(fixed)
    a, factor, c, r = np.empty(n * (n + 1) // 2), np.empty(n * (n + 1) // 2), out[2 + 2 * count :], np.zeros(n)
    rest = table[_solved(sizes, table, theta, phi, a, factor, c, r) :]
    outputs, rest = rest[: count * (n + 1)], rest[count * (n + 1) :]
    residual, rest = rest[: fixed + terms * n], rest[fixed + terms * n :]
    rounding, rest = rest[: fixed + terms * n], rest[fixed + terms * n :]
    lengths, output_weights = rest[:n], rest[n : n + count * n].reshape(count, n)
    norms, kappa = rest[n + count * n : n + count * n + terms], rest[n + count * n + terms :]

    y, root = np.empty(widths[n]), np.sqrt(lower)
    _coordinates(theta, c, rows, widths, y)
    z[:held] = phi
    own = _weighted(theta, c, residual[fixed:].reshape(terms, n))
    floor = (_size(phi, residual) + own) / root * (1 + 16 * EPS)
    energy = (_norm(y, 1.0, loose, z) * gain / root + floor) * (1 + 16 * EPS) + _TINY
    length = _size(c, lengths)
    made = np.sqrt(_size(theta, norms)) * (small * length + lift)
    out[0], out[1] = energy + made, floor + made
    if count:
        size = _size(phi, rounding) + _weighted(theta, c, rounding[fixed:].reshape(terms, n))
        d, mine = np.empty(n), np.empty(widths[n])
    for s in range(count):
        z[:] = 0.0
        z[held + s] = 1.0
        functional, offset = outputs[s * n : (s + 1) * n], outputs[count * n + s]
        if np.isnan(kappa[s]):
            d[:] = functional
            _substitute(n, factor, d)
            _coordinates(theta, d, rows, widths, mine)
            norm, noise = _norm(mine, 1.0, loose, z), _weighted(theta, d, residual[fixed:].reshape(terms, n))
            shift = _size(d, lengths)
        else:  # the functional is κ times the load: Galerkin's dual solution is the primal one, scaled
            scale = kappa[s] / phi[0] if phi[0] != 0.0 else 0.0
            for i in range(n):
                d[i] = scale * c[i]
            norm, noise, shift = _norm(y, scale, loose, z), abs(scale) * own, abs(scale) * length
        value = offset + np.dot(c, functional) + np.dot(d, r)
        dual = (norm * gain / root + (residual[held + s] + noise) / root * (1 + 16 * EPS)) * (1 + 16 * EPS) + _TINY
        moved = _size(c, output_weights[s]) + shift * size + 4 * EPS * (abs(value) + abs(offset))
        out[2 + s], out[2 + count + s] = value, (energy * dual + moved) * (1 + 8 * EPS)
    return out


@njit(**OPTIONS)
def _compared(theta: Real, reference: Real) -> float:
    """The constant of `nwidth.problems.min_theta.min_theta`; the last entry of the reference is the slack."""
    low = high = theta[0] / reference[0]
    for q in range(1, len(theta)):
        ratio = theta[q] / reference[q]
        low, high = min(low, ratio), max(high, ratio)
    return low - reference[len(theta)] * (abs(low) + abs(high))


@njit(**OPTIONS)
def answer_at(
    point: Real,
    box: Real,
    theta_program: Real,
    phi_program: Real,
    reference: Real,
    table: Real,
    sizes: Array,
    rows: Real,
    widths: Array,
) -> tuple[Real, bool]:
    """`answer` at a point `(P, 1)` whose coefficients are programs and whose constant compares them, and whether the
    point lies in the box `(2, P)`. The bound is NaN where a coefficient is not finite or the constant not positive."""
    theta, phi = np.empty((1, sizes[1])), np.empty((1, sizes[2]))
    row = point.reshape(1, len(point))
    bad = max(run(theta_program, row, theta), run(phi_program, row, phi))
    lower = _compared(theta[0], reference)
    inside = True
    for i in range(len(point)):
        inside = inside and box[0, i] <= point[i, 0] <= box[1, i]
    if bad >= 0 or not lower > 0.0:
        return np.full(2 + 2 * sizes[3] + sizes[0], np.nan), inside
    return answer(table, sizes, rows, widths, theta[0], phi[0], lower), inside
