"""Factorisations: both backends against dense solves, and what they refuse."""

import copy
import gc
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.core.errors import InputError
from nwidth.core.kinds import available
from nwidth.spaces.factor import (
    Pattern,
    SingularMatrixError,
    best_backend,
    careful_factors,
    factorised,
    general_factor,
    new_factor,
    restricted,
)

BACKENDS = [
    "superlu",
    pytest.param("pardiso", marks=pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")),
]


def matrix(size=60, seed=0, shift=1.0):
    """A sparse symmetric positive definite matrix with an irregular pattern."""
    rng = np.random.default_rng(seed)
    b = sp.random_array((size, size), density=0.05, rng=rng)
    a = sp.csr_array(b @ b.T + shift * sp.eye_array(size))
    a.sum_duplicates()
    return a


@pytest.mark.parametrize("backend", BACKENDS)
def test_solves_many_right_hand_sides(backend):
    a, b = matrix(), np.random.default_rng(1).normal(size=(5, 60))
    np.testing.assert_allclose(factorised(a, backend).solve(b), np.linalg.solve(a.toarray(), b.T).T, rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_new_values_replace_the_old_ones(backend):
    """One analysis, several matrices: each solve belongs to the latest values."""
    a, b = matrix(), np.random.default_rng(1).normal(size=(1, 60))
    factor = new_factor(Pattern.of(a), backend)
    for scale in (1.0, 3.0, 0.01):
        values = a.data * np.where(Pattern.of(a).indices == Pattern.of(a).rows, scale + 1, 1.0)
        factor.factorise(values)
        dense = Pattern.of(a).matrix(values).toarray()
        np.testing.assert_allclose(factor.solve(b), np.linalg.solve(dense, b.T).T, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_factors_do_not_disturb_each_other(backend):
    """A factorisation that answered for another matrix is a scar of this field."""
    a, c, b = matrix(seed=1), matrix(seed=2, shift=5.0), np.ones((1, 60))
    one, two = factorised(a, backend), factorised(c, backend)
    for _ in range(2):
        np.testing.assert_allclose(one.solve(b), np.linalg.solve(a.toarray(), b.T).T, rtol=1e-10)
        np.testing.assert_allclose(two.solve(b), np.linalg.solve(c.toarray(), b.T).T, rtol=1e-10)
    del one
    gc.collect()
    np.testing.assert_allclose(two.solve(b), np.linalg.solve(c.toarray(), b.T).T, rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_are_repeatable_to_the_last_bit(backend):
    a, b = matrix(size=300), np.random.default_rng(0).normal(size=(3, 300))
    np.testing.assert_array_equal(factorised(a, backend).solve(b), factorised(a, backend).solve(b))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_factorisation_is_neither_pickled_nor_copied(backend):
    factor = factorised(matrix(), backend)
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="prepare it where it is used"):
            way(factor)


@pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")
def test_pardiso_reports_a_matrix_that_is_not_definite():
    a = matrix()
    values = a.data.copy()
    values[Pattern.of(a).indices == Pattern.of(a).rows] *= -1
    with pytest.raises(SingularMatrixError, match="not positive definite"):
        factorised(Pattern.of(a).matrix(values), "pardiso")
    with pytest.raises(SingularMatrixError, match="not positive definite"):
        factor = new_factor(Pattern.of(a), "pardiso")
        factor.factorise(values)
        factor.solve(np.ones((1, 60)))


@pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")
@pytest.mark.parametrize("seed", range(40))
def test_pardiso_never_passes_an_indefinite_matrix_for_a_definite_one(seed):
    """The two-level factorisation says so with an error or with a NaN; either is an exception here."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 40))
    dense = rng.standard_normal((size, size))
    dense = (dense @ dense.T + 0.1 * np.eye(size)) * ((rng.random((size, size)) < 0.4) | np.eye(size, dtype=bool))
    dense = (dense + dense.T) / 2
    if np.linalg.eigvalsh(dense).min() > 0:
        b = rng.standard_normal((1, size))
        np.testing.assert_allclose(
            factorised(sp.csr_array(dense), "pardiso").solve(b), np.linalg.solve(dense, b.T).T, rtol=1e-6, atol=1e-9
        )
    else:
        with pytest.raises(SingularMatrixError):
            factorised(sp.csr_array(dense), "pardiso")


def test_superlu_reports_a_singular_matrix():
    a = sp.csr_array(np.array([[1.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(SingularMatrixError, match="singular"):
        general_factor(Pattern.of(a)).factorise(a.data)


def kinds(size, seed):
    """One matrix of each kind, with what it should be recognised as."""
    rng = np.random.default_rng(seed)
    mask = rng.random((size, size)) < 0.1
    both = mask | mask.T | np.eye(size, dtype=bool)
    real, imaginary = rng.standard_normal((2, size, size))
    a, c = real * both, (real + 1j * imaginary) * both
    single = np.where(np.triu(np.ones((size, size), dtype=bool)), a, 0.0) + 2 * np.eye(size)
    return [
        ("definite", a @ a.T + np.eye(size)),
        ("symmetric", a + a.T),
        ("structured", a),
        ("general", single),
        ("symmetric", c + c.T),
        ("hermitian", c + c.conj().T),
        ("structured", c),
        ("general", single * (1 + 1j)),
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_kind_of_matrix_is_recognised_and_solved(backend, seed):
    for kind, dense in kinds(50, seed):
        a = sp.csr_array(dense)
        pattern = Pattern.of(a)
        assert pattern.kind(a.data) == kind
        rng = np.random.default_rng(seed)
        b = rng.standard_normal((3, 50)).astype(a.dtype)
        if np.iscomplexobj(b):
            b = b + 1j * rng.standard_normal(b.shape)
        exact = np.linalg.solve(dense, b.T).T
        for factor in [new_factor(pattern, backend, kind, a.dtype), *careful_factors(pattern, backend, kind, a.dtype)]:
            for values in (a.data * 2, a.data):  # the second matrix uses the analysis of the first
                factor.factorise(values)
            if factor.perturbed:
                continue
            found = factor.solve(b)
            assert found.dtype == a.dtype
            # the fast ones pivot little: they lose digits, which refinement brings back where they are used
            np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10 * np.linalg.cond(dense) * np.abs(exact).max())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_real_matrix_takes_a_complex_load(backend):
    a, rng = matrix(), np.random.default_rng(0)
    b = rng.standard_normal((2, 60)) + 1j * rng.standard_normal((2, 60))
    for factor in (factorised(a, backend), new_factor(Pattern.of(a), backend, "symmetric")):
        factor.factorise(a.data)
        np.testing.assert_allclose(factor.solve(b), np.linalg.solve(a.toarray(), b.T).T, rtol=1e-9)


@pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")
def test_pivots_that_pardiso_replaces_are_counted():
    """[[0, 1], [1, 0]]: the fast factorisation cannot, the careful one takes 2 x 2 pivots."""
    a = sp.csr_array(np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 0]]) + 1e-300 * np.eye(4))
    pattern = Pattern.of(a)
    fast = new_factor(pattern, "pardiso", "symmetric")
    fast.factorise(a.data)
    assert fast.perturbed == 2
    careful = careful_factors(pattern, "pardiso", "symmetric")[0]
    careful.factorise(a.data)
    assert careful.perturbed == 0
    np.testing.assert_allclose(careful.solve(np.ones((1, 4))), [[1, 1, 0.5, 0.5]], rtol=1e-14)


def test_superlu_keeps_its_ordering(monkeypatch):
    """Minimum degree is looked for once for a symmetric pattern, whatever the values."""
    a = matrix()
    count = []
    monkeypatch.setattr(
        "nwidth.spaces.factor.minimum_degree", lambda p: count.append(1) or np.random.default_rng(0).permutation(60)
    )
    factor = new_factor(Pattern.of(a), "superlu", "structured")
    b = np.random.default_rng(1).standard_normal((2, 60))
    for scale in (1.0, -2.0):
        factor.factorise(a.data * scale)
        np.testing.assert_allclose(factor.solve(b) * scale, np.linalg.solve(a.toarray(), b.T).T, rtol=1e-9)
    assert len(count) == 1


@pytest.mark.parametrize("dtype", [float, complex])
def test_general_factor_takes_unsymmetric_and_complex_matrices(dtype):
    rng = np.random.default_rng(0)
    dense = (rng.normal(size=(20, 20)) + (1j * rng.normal(size=(20, 20)) if dtype is complex else 0)).astype(dtype)
    a = sp.csr_array(dense)
    factor = general_factor(Pattern.of(a))
    factor.factorise(a.data)
    b = rng.normal(size=(2, 20)).astype(dtype)
    np.testing.assert_allclose(factor.solve(b), np.linalg.solve(dense, b.T).T, rtol=1e-9)


def test_symmetry_is_seen_with_its_values():
    a = matrix()
    pattern = Pattern.of(a)
    assert pattern.symmetric(a.data) and pattern.full_diagonal
    values = a.data.copy()
    values[np.flatnonzero(pattern.indices != pattern.rows)[0]] += 1e-6
    assert not pattern.symmetric(values)
    lower = sp.csr_array(sp.tril(a))
    assert not Pattern.of(lower).symmetric(lower.data)


def test_restriction_keeps_free_rows_and_columns():
    a, free = matrix(), np.random.default_rng(0).random(60) > 0.3
    np.testing.assert_array_equal(restricted(a, free).toarray(), a.toarray()[np.ix_(free, free)])
    assert restricted(a, free).has_sorted_indices


def test_unknown_backends_are_refused(monkeypatch):
    with pytest.raises(InputError, match="choose one of pardiso, superlu"):
        best_backend("mumps")
    monkeypatch.setattr("nwidth.spaces.factor.available", lambda name: False)
    assert best_backend() == "superlu"
    with pytest.raises(InputError, match="pip install 'nwidth"):
        best_backend("pardiso")


@pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")
def test_the_last_bits_do_not_depend_on_threads_or_on_other_libraries():
    """Torch brings a math library of its own; a number of threads may be set by anyone."""
    script = (
        "import {first}hashlib, numpy as np, scipy.sparse as sp\n"
        "from nwidth.spaces.factor import Pattern, new_factor\n"
        "line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(60, 60))\n"
        "matrix = sp.csr_array(sp.kronsum(line, line)) + sp.diags_array(np.random.default_rng(0).random(3600))\n"
        "for kind, shift in (('definite', 0.0), ('symmetric', 2.0), ('structured', 2.0), ('general', 0.0)):\n"
        "    a = sp.csr_array(matrix - shift * sp.eye_array(3600))\n"
        "    factor = new_factor(Pattern.of(a), 'pardiso', kind)\n"
        "    factor.factorise(a.data)\n"
        "    print(hashlib.sha256(factor.solve(np.ones((1, 3600))).tobytes()).hexdigest())\n"
    )
    seen = set()
    for first, threads in (("", "1"), ("", "2"), ("torch, " if available("torch") else "scipy.linalg, ", "2")):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        command = [sys.executable, "-c", script.format(first=first)]
        seen.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(seen) == 1 and len(set(seen.pop().split())) == 4


def test_pardiso_does_not_depend_on_where_arrays_start():
    """Sums of the MKL differ in the last bit with the alignment of their operands; stores must not."""
    pardiso = pytest.importorskip("nwidth.spaces.pardiso")
    for offset in range(8):
        copy = pardiso._aligned(np.zeros(100)[offset:])
        assert copy.ctypes.data % 64 == 0 and copy.shape == (100 - offset,)
