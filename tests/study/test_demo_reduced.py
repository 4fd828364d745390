"""The small mathematics of the demo's reduced parts."""

import numpy as np
import pytest

from nwidth.problems.thermal_block import ThermalBlock
from nwidth.study.demo_block import prolong


@pytest.mark.parametrize(("coarse", "fine"), [(4, 8), (3, 7), (4, 4)])
def test_prolongation_is_exact_for_piecewise_linear_functions(coarse, fine):
    small, large = ThermalBlock(resolution=coarse), ThermalBlock(resolution=fine)
    linear = [1.0, 2.0, -3.0]
    values = [s.space.nodes @ linear[1:] + linear[0] for s in (small, large)]
    assert prolong(values[0][None], coarse, large)[0] == pytest.approx(values[1], abs=1e-13)


def test_prolongation_interpolates_the_mesh_itself():
    """Against scikit-fem's own interpolation at points inside every triangle."""
    from skfem import Basis, ElementTriP1

    coarse, fine = ThermalBlock(resolution=3), ThermalBlock(resolution=13)
    dofs = np.random.default_rng(0).normal(size=coarse.space.size)
    basis = Basis(coarse._mesh, ElementTriP1())
    expected = basis.probes(np.clip(fine.space.nodes.T, 1e-12, 1 - 1e-12)) @ dofs
    assert prolong(dofs[None], 3, fine)[0] == pytest.approx(expected, abs=1e-9)
