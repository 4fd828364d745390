"""Gauss-Seidel in the plane, vertex by vertex: a better flux from a local one, and a better field beside it.

`σ + curl ψ` with ψ bilinear at the vertices of the cells has the divergence of σ: the best value of ψ at one vertex
lowers ‖τ‖ and leaves the balance alone. The best value of a field at one vertex lowers its energy in the same way. Both
touch the four cells round the vertex: these are the smallest patch problems.
"""

import numpy as np
from numba import njit

from nwidth.bounds.equilibrated.boxes import Boxes, Flux
from nwidth.core.arrays import Array, Real


def relaxed_flux(v: Real, flux: Flux, boxes: Boxes, sweeps: int) -> Flux:
    """The flux after some sweeps over all vertices; in one and three dimensions the flux as it is."""
    if boxes.dim != 2 or not sweeps:
        return flux
    hx, hy = boxes.spacings
    slope_x, slope_y = np.diff(v, axis=1) / hx, np.diff(v, axis=2) / hy
    means = np.add(slope_x[:, :, :-1], slope_x[:, :, 1:]) / 2, np.add(slope_y[:, :-1], slope_y[:, 1:]) / 2
    # what the derivatives of ‖τ‖² need beside the flux itself: ∇v, and one row of cells of weight zero all round
    inverse = np.pad(np.broadcast_to(1.0 / boxes.middle(boxes.a), means[0].shape), ((0, 0), (1, 1), (1, 1)))
    gx, gy = (np.pad(3.0 * m, ((0, 0), (1, 1), (1, 1))) for m in means)
    x = np.pad(flux[0], ((0, 0), (1, 1), (1, 1)))
    y = np.pad(flux[1], ((0, 0), (1, 1), (1, 1)))
    # ψ is zero on insulated sides, so that nothing crosses them
    ends = np.array(boxes.ends, dtype=np.int64)
    _flux_sweeps(x, y, gx, gy, inverse, 1.0 / hx, 1.0 / hy, sweeps, ends)
    return np.ascontiguousarray(x[:, 1:-1, 1:-1]), np.ascontiguousarray(y[:, 1:-1, 1:-1])


def relaxed_field(v: Real, boxes: Boxes, sweeps: int) -> Real:
    """Nodal values after some sweeps over the vertices inside, for the same equation; as they are but in the plane."""
    if boxes.dim != 2 or not sweeps:
        return v
    hx, hy = boxes.spacings
    a = np.array(np.broadcast_to(boxes.middle(boxes.a), (len(v), *boxes.cells)))
    load = np.array(np.broadcast_to(boxes.middle(boxes.f), a.shape)) * (boxes.volume / 4)
    w = np.array(v)
    _field_sweeps(w, a, load, hy / hx / 6, hx / hy / 6, sweeps)
    return w


@njit(cache=True, nogil=True)
def _flux_sweeps(
    x: Real, y: Real, gx: Real, gy: Real, inverse: Real, px: float, py: float, sweeps: int, ends: Array
) -> None:
    """x, y, gx, gy, inverse with a margin of one all round; x and y are changed in place. `ends (2, 2)`: 1 for a side
    whose vertices stay.

    In a cell `∫ σ_x²/a = V (l² + l r + r²) / (3 a)`: its derivative by a face density is `V (2 own + other) / (3 a)`,
    that of `2 ∫ σ·∇v` is V times the mean slope. ψ at a vertex adds ±1/h to the four faces that meet there.
    """
    batch, rows, columns = inverse.shape
    for b in range(batch):
        for _ in range(sweeps):
            for i in range(1 + ends[0, 0], rows - ends[0, 1]):
                for j in range(1 + ends[1, 0], columns - ends[1, 1]):
                    slope, curvature = 0.0, 0.0
                    for s in range(2):  # the x-faces below and above, the y-faces left and right
                        m, n = j - 1 + s, i - 1 + s
                        before, after = inverse[b, i - 1, m], inverse[b, i, m]
                        own = (before * (2 * x[b, i, m] + x[b, i - 1, m]) + after * (2 * x[b, i, m] + x[b, i + 1, m])
                               + _live(before) * gx[b, i - 1, m] + _live(after) * gx[b, i, m])  # fmt: skip
                        slope += (1 - 2 * s) * py * own
                        curvature += 2 * py * py * (before + after)
                        before, after = inverse[b, n, j - 1], inverse[b, n, j]
                        own = (before * (2 * y[b, n, j] + y[b, n, j - 1]) + after * (2 * y[b, n, j] + y[b, n, j + 1])
                               + _live(before) * gy[b, n, j - 1] + _live(after) * gy[b, n, j])  # fmt: skip
                        slope -= (1 - 2 * s) * px * own
                        curvature += 2 * px * px * (before + after)
                    step = -slope / curvature
                    for s in range(2):
                        m, n = j - 1 + s, i - 1 + s
                        if inverse[b, i - 1, m] + inverse[b, i, m] > 0:
                            x[b, i, m] += (1 - 2 * s) * py * step
                        if inverse[b, n, j - 1] + inverse[b, n, j] > 0:
                            y[b, n, j] -= (1 - 2 * s) * px * step


@njit(cache=True, nogil=True, inline="always")
def _live(weight: float) -> float:
    return 1.0 if weight > 0 else 0.0


@njit(cache=True, nogil=True)
def _field_sweeps(w: Real, a: Real, load: Real, kx: float, ky: float, sweeps: int) -> None:
    """w `(B, M0 + 1, M1 + 1)` changed in place; a and load per corner `(B, M0, M1)`."""
    batch, rows, columns = a.shape
    own, across, along, far = 2 * (kx + ky), ky - 2 * kx, kx - 2 * ky, -kx - ky
    for b in range(batch):
        for _ in range(sweeps):
            for i in range(1, rows):
                for j in range(1, columns):
                    rest, total = 0.0, 0.0
                    for s in range(2):
                        for t in range(2):
                            p, q = i - 1 + 2 * s, j - 1 + 2 * t
                            c = a[b, i - 1 + s, j - 1 + t]
                            rest += load[b, i - 1 + s, j - 1 + t]
                            rest -= c * (across * w[b, p, j] + along * w[b, i, q] + far * w[b, p, q])
                            total += c * own
                    w[b, i, j] = rest / total
