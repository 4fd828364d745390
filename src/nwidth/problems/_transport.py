"""Compiled discretisation of diffusion, transport and reaction on a box of control volumes.

Arrays are `(B, N0, N1, N2)` over the stored values, one more along d for faces across axis d; the layout is that of
`nwidth.spaces._layout`. Every face has two numbers: `up`, what leaves the volume below it per unit of that volume's
value, and `down`, what leaves the volume above it. Where nothing flows they are one array. Loops are serial and release
the interpreter's lock; one sample's faces stay in cache.
"""

import numba

from nwidth.core.arrays import Real

Triple = tuple[Real, Real, Real]
Flags = tuple[bool, bool, bool]
Start = tuple[int, int, int]


@numba.njit(cache=True, nogil=True, inline="always")
def _mean(left: float, right: float, harmonic: bool) -> float:
    return 2.0 * left * (right / (left + right)) if harmonic else 0.5 * (left + right)


@numba.njit(cache=True, nogil=True)
def _across(
    a: Real, rate: float, area: Real, velocity: Real, periodic: bool, rules: tuple[bool, bool], up: Real, down: Real
) -> None:
    """Faces of a direction with others inside it: a `(O, n, Q)`, area `(O, Q)`, velocity and faces `(O, n + 1, Q)`.

    Walls are left to `_set_walls`. Upwind: (|b| + b) / 2 leaves below, (|b| - b) / 2 above; central: ± b / 2.
    """
    outer, n, inner = a.shape
    harmonic, side = rules[0], 0.0 if rules[1] else 0.5
    for o in range(outer):
        for m in range(0 if periodic else 1, n + 1 if periodic else n):
            low, high = (m - 1) % n, m % n
            if velocity.size:
                for q in range(inner):
                    e, flow = rate * _mean(a[o, low, q], a[o, high, q], harmonic), velocity[o, m, q]
                    up[o, m, q] = area[o, q] * (e + side * abs(flow) + 0.5 * flow)
                    down[o, m, q] = area[o, q] * (e + side * abs(flow) - 0.5 * flow)
            else:
                for q in range(inner):
                    up[o, m, q] = rate * area[o, q] * _mean(a[o, low, q], a[o, high, q], harmonic)


@numba.njit(cache=True, nogil=True)
def _along(
    a: Real, rate: float, area: Real, velocity: Real, periodic: bool, rules: tuple[bool, bool], up: Real, down: Real
) -> None:
    """Faces of the innermost direction: a `(O, n)`, area `(O,)`, velocity and faces `(O, n + 1)`."""
    outer, n = a.shape
    harmonic, side = rules[0], 0.0 if rules[1] else 0.5
    for o in range(outer):
        if velocity.size:
            for m in range(1, n):
                e, flow = rate * _mean(a[o, m - 1], a[o, m], harmonic), velocity[o, m]
                up[o, m] = area[o] * (e + side * abs(flow) + 0.5 * flow)
                down[o, m] = area[o] * (e + side * abs(flow) - 0.5 * flow)
        else:
            for m in range(1, n):
                up[o, m] = rate * area[o] * _mean(a[o, m - 1], a[o, m], harmonic)
        if periodic:
            e = rate * _mean(a[o, n - 1], a[o, 0], harmonic)
            flow = velocity[o, 0] if velocity.size else 0.0
            for m in (0, n):
                up[o, m] = area[o] * (e + side * abs(flow) + 0.5 * flow)
                down[o, m] = area[o] * (e + side * abs(flow) - 0.5 * flow)


@numba.njit(cache=True, nogil=True)
def _set_walls(walls: Triple, b: int, periodic: Flags, up: Triple, down: Triple) -> None:
    """What leaves through the ends: walls_d `(B, 2, T1, T2)` for the low and the high end of axis d."""
    n0, n1, n2 = len(up[0]) - 1, up[1].shape[1] - 1, up[2].shape[2] - 1
    if not periodic[0]:
        for j in range(n1):
            for k in range(n2):
                down[0][0, j, k] = walls[0][b, 0, j, k]
                up[0][n0, j, k] = walls[0][b, 1, j, k]
    if n1 > 1 and not periodic[1]:
        for i in range(n0):
            for k in range(n2):
                down[1][i, 0, k] = walls[1][b, 0, i, k]
                up[1][i, n1, k] = walls[1][b, 1, i, k]
    if n2 > 1 and not periodic[2]:
        for i in range(n0):
            for j in range(n1):
                down[2][i, j, 0] = walls[2][b, 0, i, j]
                up[2][i, j, n2] = walls[2][b, 1, i, j]


@numba.njit(cache=True, nogil=True)
def _matrix(
    up: Triple, down: Triple, start: Start, periodic: Flags, b: int, centre: Real, plus: Triple, minus: Triple
) -> None:
    """Centre, plus and minus of one sample on the window that begins at `start`; minus may be empty."""
    _, n0, n1, n2 = centre.shape
    s0, s1, s2 = int(start[0] > 0), int(start[1] > 0), int(start[2] > 0)  # 0 or 1, which the compiler can use
    for i in range(n0):
        for j in range(n1):
            p, q = i + s0, j + s1
            for k in range(n2):
                r = k + s2
                centre[b, i, j, k] += up[0][p + 1, q, r] + down[0][p, q, r]
                plus[0][b, i, j, k] = -down[0][p + 1, q, r]
            if plus[1].size:
                for k in range(n2):
                    r = k + s2
                    centre[b, i, j, k] += up[1][p, q + 1, r] + down[1][p, q, r]
                    plus[1][b, i, j, k] = -down[1][p, q + 1, r]
            if plus[2].size:
                for k in range(n2):
                    r = k + s2
                    centre[b, i, j, k] += up[2][p, q, r + 1] + down[2][p, q, r]
                    plus[2][b, i, j, k] = -down[2][p, q, r + 1]
                if not periodic[2]:
                    plus[2][b, i, j, n2 - 1] = 0.0
            if minus[0].size:
                for k in range(n2):
                    minus[0][b, i, j, k] = -up[0][p, q, k + s2]
                if minus[1].size:
                    for k in range(n2):
                        minus[1][b, i, j, k] = -up[1][p, q, k + s2]
                if minus[2].size:
                    for k in range(n2):
                        minus[2][b, i, j, k] = -up[2][p, q, k + s2]
                    if not periodic[2]:
                        minus[2][b, i, j, 0] = 0.0
    if not periodic[0]:
        _clear_layer(plus[0][b, n0 - 1])
        if minus[0].size:
            _clear_layer(minus[0][b, 0])
    if plus[1].size and not periodic[1]:
        for i in range(n0):
            for k in range(n2):
                plus[1][b, i, n1 - 1, k] = 0.0
                if minus[1].size:
                    minus[1][b, i, 0, k] = 0.0


@numba.njit(cache=True, nogil=True)
def _clear_layer(layer: Real) -> None:
    for j in range(layer.shape[0]):
        for k in range(layer.shape[1]):
            layer[j, k] = 0.0


@numba.njit(cache=True, nogil=True)
def _loads(up: Triple, down: Triple, g: Real, inflow: Triple, b: int, start: Start, load: Real) -> None:
    """Adds what enters at the edges of the window: inflow_d `(B, 2, T1, T2)` at walls, elsewhere the prescribed
    values g `(N0, N1, N2)` just outside (empty: zeros), for one sample."""
    n0, n1, n2 = load.shape
    s0, s1, s2 = int(start[0] > 0), int(start[1] > 0), int(start[2] > 0)  # 0 or 1, which the compiler can use
    given = g.size > 0
    m0, m1, m2 = len(up[0]) - 1, up[1].shape[1] - 1, up[2].shape[2] - 1
    e0, e1, e2 = s0 + n0, s1 + n1, s2 + n2
    for j in range(n1):
        q = j + s1
        for k in range(n2):
            r = k + s2
            outside = g[s0 - 1, q, r] if given and s0 > 0 else 0.0
            load[0, j, k] += inflow[0][b, 0, q, r] if s0 == 0 else up[0][s0, q, r] * outside
            outside = g[e0, q, r] if given and e0 < m0 else 0.0
            load[n0 - 1, j, k] += inflow[0][b, 1, q, r] if e0 == m0 else down[0][e0, q, r] * outside
    for i in range(n0):
        p = i + s0
        if m1 > 1:
            for k in range(n2):
                r = k + s2
                outside = g[p, s1 - 1, r] if given and s1 > 0 else 0.0
                load[i, 0, k] += inflow[1][b, 0, p, r] if s1 == 0 else up[1][p, s1, r] * outside
                outside = g[p, e1, r] if given and e1 < m1 else 0.0
                load[i, n1 - 1, k] += inflow[1][b, 1, p, r] if e1 == m1 else down[1][p, e1, r] * outside
        if m2 > 1:
            for j in range(n1):
                q = j + s1
                outside = g[p, q, s2 - 1] if given and s2 > 0 else 0.0
                load[i, j, 0] += inflow[2][b, 0, p, q] if s2 == 0 else up[2][p, q, s2] * outside
                outside = g[p, q, e2] if given and e2 < m2 else 0.0
                load[i, j, n2 - 1] += inflow[2][b, 1, p, q] if e2 == m2 else down[2][p, q, e2] * outside


@numba.njit(cache=True, nogil=True)
def _volumes_times(values: Real, widths: Triple, start: Start, out: Real) -> None:
    """`out = volume · values` on the window, values `(N0, N1, N2)`."""
    n0, n1, n2 = out.shape
    s0, s1, s2 = int(start[0] > 0), int(start[1] > 0), int(start[2] > 0)  # 0 or 1, which the compiler can use
    for i in range(n0):
        for j in range(n1):
            area = widths[0][i + s0] * widths[1][j + s1]
            for k in range(n2):
                out[i, j, k] = area * widths[2][k + s2] * values[i + s0, j + s1, k + s2]


@numba.njit(cache=True, nogil=True)
def transport_stencils(
    a: Real,
    velocity: Triple,
    reaction: Real,
    source: Real,
    lift: Real,
    widths: Triple,
    areas: Triple,
    rates: tuple[float, float, float],
    periodic: Flags,
    rules: tuple[bool, bool],
    walls: Triple,
    inflow: Triple,
    start: Start,
    up: Triple,
    down: Triple,
    centre: Real,
    plus: Triple,
    minus: Triple,
    load: Real,
) -> None:
    """The matrices and loads of a batch on the window of unknowns that begins at `start`.

    a, velocity, reaction, source and lift may have one row that all samples share; velocity, reaction and lift may be
    empty. up and down: one sample's faces, workspace; the same arrays where nothing flows. rules: harmonic, central.
    areas_d `(T1, T2)` of the faces across d, rates: one over the distance of values; walls and inflow `(B, 2, T1, T2)`
    at the ends of d. minus is empty for symmetry.
    """
    (batch, n0, n1, n2), shared = (len(load), *a.shape[1:]), len(a) == 1
    empty = velocity[0].reshape(-1)[:0]
    for b in range(batch):
        coefficient = a[0 if shared else b]
        flow = velocity[0].size > 0
        v = b if len(velocity[0]) > 1 else 0
        v0 = velocity[0][v].reshape(1, n0 + 1, n1 * n2) if flow else empty.reshape(1, 0, 1)
        v1 = velocity[1][v].reshape(n0, n1 + 1, n2) if flow and n1 > 1 else empty.reshape(1, 0, 1)
        v2 = velocity[2][v].reshape(n0 * n1, n2 + 1) if flow and n2 > 1 else empty.reshape(1, 0)
        _across(
            coefficient.reshape(1, n0, n1 * n2), rates[0], areas[0].reshape(1, n1 * n2), v0, periodic[0], rules,
            up[0].reshape(1, n0 + 1, n1 * n2), down[0].reshape(1, n0 + 1, n1 * n2),
        )  # fmt: skip
        if n1 > 1:
            _across(coefficient, rates[1], areas[1], v1, periodic[1], rules, up[1], down[1])
        if n2 > 1:
            _along(
                coefficient.reshape(n0 * n1, n2), rates[2], areas[2].reshape(n0 * n1), v2, periodic[2], rules,
                up[2].reshape(n0 * n1, n2 + 1), down[2].reshape(n0 * n1, n2 + 1),
            )  # fmt: skip
        _set_walls(walls, b, periodic, up, down)
        if reaction.size:
            _volumes_times(reaction[b if len(reaction) > 1 else 0], widths, start, centre[b])
        else:
            centre[b] = 0.0
        _matrix(up, down, start, periodic, b, centre, plus, minus)
        _volumes_times(source[b if len(source) > 1 else 0], widths, start, load[b])
        _loads(up, down, lift[b if len(lift) > 1 else 0], inflow, b, start, load[b])


@numba.njit(cache=True, nogil=True)
def _add_product(c: Real, w: Real, above: bool, wraps: bool, sign: float, out: Real) -> None:
    """`out += c · neighbour` (or |c| · neighbour for sign 0) along the middle axis of `(O, n, Q)`.

    above: c_i multiplies w_{i+1}; otherwise w_{i-1}.
    """
    outer, n, inner = w.shape
    for o in range(outer):
        for i in range(n):
            other = i + 1 if above else i - 1
            if other < 0 or other == n:
                if not wraps:
                    continue
                other = n - 1 - i
            for q in range(inner):
                value = c[o, i, q]
                out[o, i, q] += (abs(value) if sign == 0.0 else value) * w[o, other, q]


@numba.njit(cache=True, nogil=True)
def _add_mirrored(c: Real, w: Real, wraps: bool, sign: float, out: Real) -> None:
    """`out_{i+1} += c_i w_i` along the middle axis: the lower half of a symmetric matrix."""
    outer, n, inner = w.shape
    for o in range(outer):
        for i in range(n):
            if i == n - 1 and not wraps:
                continue
            up = (i + 1) % n
            for q in range(inner):
                value = c[o, i, q]
                out[o, up, q] += (abs(value) if sign == 0.0 else value) * w[o, i, q]


@numba.njit(cache=True, nogil=True)
def _add_neighbours(plus: Real, minus: Real, w: Real, sign: float, out: Real) -> None:
    """Both neighbours of an innermost axis that is not periodic, all lines as one: couplings across their ends are 0.

    Flat arrays `(n,)`; minus is empty for symmetric matrices.
    """
    n = len(w)
    for i in range(n - 1):
        out[i] += (abs(plus[i]) if sign == 0.0 else plus[i]) * w[i + 1]
    below = minus[1:] if len(minus) else plus
    for i in range(n - 1):
        out[i + 1] += (abs(below[i]) if sign == 0.0 else below[i]) * w[i]


@numba.njit(cache=True, nogil=True)
def stencil_product(
    centre: Real, plus: Triple, minus: Triple, periodic: Flags, sign: float, w: Real, out: Real
) -> None:
    """`out = A w` for sign 1, `|A| w` for sign 0; all `(B, N0, N1, N2)`; minus is empty for symmetric matrices."""
    batch, n0, n1, n2 = w.shape
    for b in range(batch):
        for i in range(n0):
            for j in range(n1):
                for k in range(n2):
                    value = centre[b, i, j, k]
                    out[b, i, j, k] = (abs(value) if sign == 0.0 else value) * w[b, i, j, k]
        for d in range(3):
            if plus[d].size == 0:
                continue
            if d == 2 and not periodic[2]:
                _add_neighbours(plus[2][b].ravel(), minus[2][b].ravel(), w[b].ravel(), sign, out[b].ravel())
                continue
            shape = (1, n0, n1 * n2) if d == 0 else (n0, n1, n2) if d == 1 else (n0 * n1, n2, 1)
            x, y = w[b].reshape(shape), out[b].reshape(shape)
            _add_product(plus[d][b].reshape(shape), x, True, periodic[d], sign, y)
            if minus[d].size:
                _add_product(minus[d][b].reshape(shape), x, False, periodic[d], sign, y)
            else:
                _add_mirrored(plus[d][b].reshape(shape), x, periodic[d], sign, y)
