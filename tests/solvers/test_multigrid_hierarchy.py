"""The tapes against dense matrices: couplings, interpolation, Galerkin products and the cycle as an operator."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nwidth.core.errors import InputError  # noqa: E402
from nwidth.solvers.multigrid import plan as planning  # noqa: E402
from nwidth.solvers.multigrid.colours import Box  # noqa: E402
from nwidth.solvers.multigrid.plan import make_plan, schedule  # noqa: E402
from nwidth.solvers.multigrid.tape import Tape, Workspace  # noqa: E402
from nwidth.solvers.multigrid.torch_machine import TorchMachine  # noqa: E402

CASES = {
    "line": ((19,), (False,), (1.0,)),
    "ring": ((20,), (True,), (1.0,)),
    "plane": ((11, 8), (False, False), (1.0, 1.0)),
    "band": ((8, 7), (True, False), (1.0, 1.0)),
    "torus": ((8, 12), (True, True), (1.0, 1.0)),
    "strong first axis": ((12, 9), (False, False), (100.0, 1.0)),
    "strong second axis": ((8, 12), (True, False), (1.0, 100.0)),
    "space": ((6, 5, 7), (False, False, False), (1.0, 1.0, 1.0)),
    "pipe": ((6, 8, 4), (False, True, False), (1.0, 1.0, 1.0)),
    "sheet": ((9, 2), (False, False), (1.0, 1.0)),
}


def arrays(shape, periodic, strength, symmetric, spread, seed=0):
    """Centre, plus and minus of a random matrix with positive couplings, and the dense matrix."""
    rng, size = np.random.default_rng(seed), int(np.prod(shape))
    index = np.arange(size).reshape(shape)
    dense, plus, minus = np.zeros((size, size)), [], []
    for axis, (wraps, pull) in enumerate(zip(periodic, strength, strict=True)):
        last = tuple(-1 if d == axis else slice(None) for d in range(len(shape)))
        first = tuple(0 if d == axis else slice(None) for d in range(len(shape)))
        p = -pull * 10 ** rng.uniform(-spread, spread, shape)
        m = -pull * 10 ** rng.uniform(-spread, spread, shape)
        if not wraps:
            p[last] = 0.0
        if symmetric:
            m = np.roll(p, 1, axis)
        if not wraps:
            m[first] = 0.0
        ahead, behind = np.roll(index, -1, axis), np.roll(index, 1, axis)
        np.add.at(dense, (index.ravel(), ahead.ravel()), p.ravel())
        np.add.at(dense, (index.ravel(), behind.ravel()), m.ravel())
        plus.append(p)
        minus.append(m)
    centre = rng.uniform(0.0, 0.3, shape) - dense.sum(axis=1).reshape(shape)
    dense[np.diag_indices(size)] += centre.ravel()
    return [centre, *plus, *([] if symmetric else minus)], dense


def built(case, symmetric, spread=1.0, sweeps=2):
    """Dense matrices of every level, dense interpolations, and the machine after its set-up."""
    shape, periodic, strength = CASES[case]
    boxes = schedule(shape, periodic, strength)
    plan = make_plan(boxes, symmetric, sweeps)
    machine = TorchMachine(plan, 1, torch.device("cpu"), torch.float64)
    values, dense = arrays(shape, periodic, strength, symmetric, spread)
    tensors = [torch.as_tensor(v.reshape(1, -1)) for v in values]
    assert machine.set_up(tensors, torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.bool)).all()
    ws = Workspace()
    levels = planning._write_setup(boxes, symmetric, Tape(*(ws.vector(boxes[0]) for _ in range(3))), ws)
    numbers = machine.ws[0].numpy()
    return levels, [matrix(level, numbers, symmetric) for level in levels], numbers, machine, dense


def matrix(level, numbers, symmetric):
    entries = planning._entries(level, symmetric).astype(int)
    size = int(np.prod(level.box.shape))
    dense = np.zeros((size, size))
    np.subtract.at(dense, (entries[:, 1], entries[:, 2]), numbers[entries[:, 0]])
    return dense


def interpolation(fine: Box, weights, numbers):
    """The weights as a dense matrix, by the indices of the unknowns."""
    shape = fine.coarse_shape
    dense = np.zeros((int(np.prod(fine.shape)), int(np.prod(shape))))
    for row, (index, colour, place) in enumerate(planning._unknowns(fine)):
        for corner, _, _ in fine.parents(colour):
            near = [t + c for t, c in zip(index, corner, strict=True)]
            coarse = [t // 2 if halved else t for t, halved in zip(near, fine.coarsened, strict=True)]
            if any(p and t == -1 for p, t in zip(fine.periodic, near, strict=True)):
                coarse = [n - 1 if t == -1 else c for c, t, n in zip(coarse, near, shape, strict=True)]
            weight = numbers[weights[colour, corner] + place] if any(corner) else 1.0
            if all(0 <= c < n for c, n in zip(coarse, shape, strict=True)):
                dense[row, np.ravel_multi_index(coarse, shape)] += weight
            else:
                assert weight == 0.0  # nothing is taken from outside
    return dense


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_coarse_matrices_are_galerkin_products(case, symmetric):
    levels, matrices, numbers, _, dense = built(case, symmetric)
    np.testing.assert_allclose(matrices[0], dense, atol=1e-13 * np.abs(dense).max())
    for level, fine, coarse in zip(levels[:-1], matrices[:-1], matrices[1:], strict=True):
        p = interpolation(level.box, level.weight, numbers)
        np.testing.assert_allclose(coarse, p.T @ fine @ p, atol=1e-12 * np.abs(fine).max())


@pytest.mark.parametrize("case", CASES)
def test_an_unknown_between_two_coarse_ones_follows_its_own_equation(case):
    """With one axis between and couplings summed over the others; rows never sum to more than one."""
    levels, matrices, numbers, _, _ = built(case, True)
    box = levels[0].box
    p = interpolation(box, levels[0].weight, numbers)
    assert (p >= 0).all()
    assert (p.sum(axis=1) <= 1 + 1e-12).all()
    if len(box.shape) == 1:  # elimination is exact: nothing is left at the unknowns between
        left = matrices[0] @ p
        between = np.arange(box.shape[0]) % 2 == 0
        assert np.abs(left[between]).max() <= 1e-12 * np.abs(matrices[0]).max()


def operator(machine, size):
    """The cycle as a dense matrix."""
    units = torch.eye(size, dtype=torch.float64)
    return np.array([machine.cycle(units[k : k + 1])[0].numpy() for k in range(size)]).T


@pytest.mark.parametrize("case", CASES)
def test_the_cycle_is_symmetric_and_nearly_the_inverse(case):
    _, _, _, machine, dense = built(case, True, spread=0.3)
    cycle = operator(machine, len(dense))
    np.testing.assert_allclose(cycle, cycle.T, atol=1e-12 * np.abs(cycle).max())
    errors = np.linalg.eigvals(np.eye(len(dense)) - cycle @ dense)
    assert np.abs(errors).max() < 0.22


@pytest.mark.parametrize("case", CASES)
def test_the_cycle_of_a_matrix_that_is_not_symmetric_contracts(case):
    _, _, _, machine, dense = built(case, False, spread=0.05)
    errors = np.linalg.eigvals(np.eye(len(dense)) - operator(machine, len(dense)) @ dense)
    assert np.abs(errors).max() < 0.3


def test_weak_axes_wait():
    boxes = schedule((64, 64), (False, False), (1.0, 1000.0))
    assert [box.coarsened for box in boxes[:4]] == [(False, True)] * 4
    assert boxes[4].coarsened == (True, True)
    assert boxes[-1].coarsened == (False, False)


def test_an_odd_ring_that_is_too_large_is_refused():
    with pytest.raises(InputError, match="cannot be halved below \\(35, 35\\)"):
        make_plan(schedule((35, 35), (True, True), (1.0, 1.0)), True, 1)
