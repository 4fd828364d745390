"""Strain and equilibrium on a periodic pixel grid, and the operator that inverts a homogeneous stiffness there.

Displacements `u = u_1 + i u_2` sit at the corners of the pixels as complex numbers: both components go through one
complex transform. Strain lives at the centres, one point per pixel, by differences across the two diagonals (Willot
2015, "rotated scheme"): no ringing at jumps of the stiffness, and the discrete operator is symmetric.
"""

import numba
import numpy as np
import scipy.fft

from nwidth.core.arrays import Array, Real


@numba.njit(cache=True, nogil=True)
def strain_of(u, mean, out):  # type: ignore[no-untyped-def]
    """Mean strain `(3,)` plus that of u `(n, n)` complex, entries 11, 22, 12 at the pixels: out `(3, n, n)`."""
    n = u.shape[0]
    half = 0.5 * n
    for i in range(n):
        a = i + 1 if i + 1 < n else 0
        for j in range(n):
            b = j + 1 if j + 1 < n else 0
            across, along = u[a, b] - u[i, j], u[a, j] - u[i, b]
            d1, d2 = half * (across + along), half * (across - along)
            out[0, i, j] = mean[0] + d1.real
            out[1, i, j] = mean[1] + d2.imag
            out[2, i, j] = mean[2] + 0.5 * (d1.imag + d2.real)


@numba.njit(cache=True, nogil=True)
def force_of(stress, out):  # type: ignore[no-untyped-def]
    """The adjoint: forces at the corners, `f = Bᵀ σ` with `Σ f·u = Σ σ : ε(u)`; stress `(3, n, n)`, out `(n, n)`."""
    n = out.shape[0]
    half = 0.5 * n
    for i in range(n):
        a = i - 1 if i > 0 else n - 1
        for j in range(n):
            b = j - 1 if j > 0 else n - 1
            s11 = stress[0, a, b] + stress[0, a, j] - stress[0, i, b] - stress[0, i, j]
            t12 = stress[2, a, b] - stress[2, a, j] + stress[2, i, b] - stress[2, i, j]
            s12 = stress[2, a, b] + stress[2, a, j] - stress[2, i, b] - stress[2, i, j]
            t22 = stress[1, a, b] - stress[1, a, j] + stress[1, i, b] - stress[1, i, j]
            out[i, j] = half * (s11 + t12) + 1j * (half * (s12 + t22))


@numba.njit(cache=True, nogil=True)
def stiffness_times(tangent, u, stress, out):  # type: ignore[no-untyped-def]
    """`Bᵀ D B u` with the tangent `(5, n, n)` of `j2.return_map`; returns u · out. `stress` `(3, n, n)` is scratch."""
    n = u.shape[0]
    half = 0.5 * n
    energy = 0.0
    for i in range(n):
        a = i + 1 if i + 1 < n else 0
        for j in range(n):
            b = j + 1 if j + 1 < n else 0
            across, along = u[a, b] - u[i, j], u[a, j] - u[i, b]
            d1, d2 = half * (across + along), half * (across - along)
            e11, e22, e12 = d1.real, d2.imag, 0.5 * (d1.imag + d2.real)
            m11, m22, m12 = tangent[2, i, j], tangent[3, i, j], tangent[4, i, j]
            volume, twice = tangent[0, i, j] * (e11 + e22), 2 * tangent[1, i, j]
            flow = m11 * e11 + m22 * e22 + 2 * m12 * e12
            s11 = volume + twice * e11 - m11 * flow
            s22 = volume + twice * e22 - m22 * flow
            s12 = twice * e12 - m12 * flow
            stress[0, i, j], stress[1, i, j], stress[2, i, j] = s11, s22, s12
            energy += s11 * e11 + s22 * e22 + 2 * s12 * e12
    force_of(stress, out)
    return energy


@numba.njit(cache=True, nogil=True)
def _scaled(z, mean, skew):  # type: ignore[no-untyped-def]
    """`mean z(k) + skew conj(z(-k))`, in place: a real symmetric 2 x 2 matrix for every k on packed components."""
    n = z.shape[0]
    for i in range(n):
        a = n - i if i > 0 else 0
        for j in range(n):
            b = n - j if j > 0 else 0
            if a * n + b < i * n + j:
                continue
            here, there = z[i, j], z[a, b]
            z[i, j] = mean[i, j] * here + skew[i, j] * np.conj(there)
            z[a, b] = mean[a, b] * there + skew[a, b] * np.conj(here)


class Green:
    """`K₀⁻¹`, K₀ the stiffness of the homogeneous isotropic cell `(bulk, shear)` on n² pixels; zero mean in and out.

    In Fourier space `K₀ = G |d|² I + (K + G/3) d dᵀ` with the real `d_1 = 2n sin(φ_1/2) cos(φ_2/2)`, `d_2` likewise:
    inverted exactly. Where d vanishes (the mean, and for even n the checkerboard) the answer is zero.
    """

    def __init__(self, n: int, bulk: float, shear: float):
        angle = np.pi * np.fft.fftfreq(n)
        d1 = 2 * n * np.sin(angle)[:, None] * np.cos(angle)[None, :]
        d2 = 2 * n * np.cos(angle)[:, None] * np.sin(angle)[None, :]
        square = d1**2 + d2**2
        regular = square > 1e-20 * n**2
        inverse = np.where(regular, 1.0 / (shear * np.where(regular, square, 1.0)), 0.0)
        share = (bulk + shear / 3) / (bulk + 4 * shear / 3) * inverse / np.where(regular, square, 1.0)
        g11, g22, g12 = inverse - share * d1 * d1, inverse - share * d2 * d2, -share * d1 * d2
        self._mean = 0.5 * (g11 + g22)
        self._skew = 0.5 * (g11 - g22) + 1j * g12

    def __call__(self, force: Array) -> Array:
        """Displacements of forces, both `(n, n)` complex."""
        spectrum = scipy.fft.fft2(force)
        _scaled(spectrum, self._mean, self._skew)
        return scipy.fft.ifft2(spectrum, overwrite_x=True)


def strain(u: Array, mean: Real) -> Real:
    """The strain `(3, n, n)` of displacements u `(n, n)` complex with a mean strain `(3,)`."""
    out = np.empty((3, *u.shape))
    strain_of(u, np.asarray(mean, dtype=np.float64), out)
    return out
