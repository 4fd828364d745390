"""The power module: conservation, a closed form in one dimension, symmetry, convergence, and its certified answers."""

import numpy as np
import pytest
import scipy.sparse.linalg as sla

from nwidth.core.errors import InputError
from nwidth.online.certify import certify
from nwidth.problems.power_module import AMBIENT, BASE, CHIPS, CONDUCTIVITY, LAYERS, PowerModule
from nwidth.rb.greedy import Greedy
from nwidth.solvers.choose import solve
from nwidth.solvers.direct import Direct
from nwidth.spaces.factor import factorised

NAMES = ("k_interface", "k_solder", "k_chip_solder", "h", "P1", "P2")


def design(*values):
    return {name: np.array([float(value)]) for name, value in zip(NAMES, values, strict=True)}


@pytest.fixture(scope="module")
def module():
    return PowerModule(32)


@pytest.fixture(scope="module")
def certified(module):
    return certify(Greedy(tol=None, max_size=24).fit(problem=module), module)


def chips(problem, mu):
    field = solve(problem, mu).field
    return np.stack([field @ q.functional for q in problem.quantities().values()], axis=1)


def test_all_heat_leaves_through_the_bottom(module):
    mu = module.parameters.sample(range(6), 0)
    w = solve(module, mu).field - AMBIENT
    bottom = module.terms().matrices[4]
    leaving = mu["h"] * (w @ (bottom @ np.ones(w.shape[1])))
    np.testing.assert_allclose(leaving, mu["P1"] + mu["P2"], rtol=1e-8)


def test_uniform_heating_gives_the_one_dimensional_solution(module):
    """Heat in the whole copper track: the stack is a chain of resistors, and linear elements are exact at the nodes."""
    mu = design(2.0, 30.0, 40.0, 5e3, 0, 0)
    theta = module.coefficients(mu)[0][0]
    matrix = sum(t * a for t, a in zip(theta, module.terms().matrices, strict=True))
    mesh, power = module.mesh, 100.0
    track = np.cumsum([layer.thickness for layer in LAYERS])[4:6] * 1e-3
    heights = mesh.nodes[mesh.elements].mean(axis=1)[:, 2]
    inside = (heights > track[0]) & (heights < track[1])
    density = power / mesh.volumes[inside].sum()
    load = np.bincount(
        mesh.elements[inside].ravel(), np.repeat(density * mesh.volumes[inside] / 8, 8), minlength=len(mesh.nodes)
    )
    w = factorised(matrix).solve(load[None])[0]
    area = BASE[0] * BASE[1] * 1e-6
    known = CONDUCTIVITY | {"k_interface": 2.0, "k_solder": 30.0, "k_chip_solder": 40.0}
    level, height, flux = power / (5e3 * area), 0.0, power / area
    expected = [(0.0, level)]
    for layer in LAYERS[:5]:
        height += layer.thickness * 1e-3
        level += flux * layer.thickness * 1e-3 / known[layer.material]
        expected.append((height, level))
    thickness = LAYERS[5].thickness * 1e-3
    expected.append((height + thickness, level + flux * thickness / (2 * known["copper"])))
    for z, temperature in expected:
        at = np.abs(mesh.nodes[:, 2] - z) < 1e-9
        np.testing.assert_allclose(w[at], temperature, rtol=1e-8)
    # nothing flows above the heated layer
    np.testing.assert_allclose(w[mesh.nodes[:, 2] > track[1]], expected[-1][1], rtol=1e-8)


def test_swapping_the_powers_swaps_the_chips(module):
    one, other = chips(module, design(2, 30, 30, 5e3, 100, 20)), chips(module, design(2, 30, 30, 5e3, 20, 100))
    np.testing.assert_allclose(one[0], other[0, ::-1], rtol=1e-9)
    assert one[0, 0] > one[0, 1] > AMBIENT


def test_no_power_is_ambient_and_temperature_is_linear_in_power(module):
    np.testing.assert_allclose(chips(module, design(2, 30, 30, 5e3, 0, 0)), AMBIENT, rtol=1e-12)
    one, both = chips(module, design(2, 30, 30, 5e3, 10, 5)), chips(module, design(2, 30, 30, 5e3, 100, 50))
    np.testing.assert_allclose(10 * (one - AMBIENT), both - AMBIENT, rtol=1e-9)


@pytest.mark.parametrize("index", range(4))
def test_better_conduction_anywhere_cools_a_heated_chip(module, index):
    values = [2.0, 30.0, 30.0, 5e3, 100.0, 0.0]
    better = values.copy()
    better[index] *= 1.5
    assert chips(module, design(*better))[0, 0] < chips(module, design(*values))[0, 0] - 0.05


def test_geometry_is_the_one_of_the_table(module):
    assert [layer.thickness for layer in LAYERS] == [5.0, 0.1, 3.0, 0.2, 0.63, 0.3, 0.1, 0.2]
    assert all(x[1] - x[0] == 12 and y[1] - y[0] == 14 for x, y in CHIPS)
    mesh = module.mesh
    base = BASE[0] * BASE[1] * sum(layer.thickness for layer in LAYERS[:6])
    assert mesh.volumes.sum() == pytest.approx((base + 2 * 12 * 14 * 0.3) * 1e-9, rel=1e-12)
    np.testing.assert_allclose(module.terms().loads.sum(axis=1), 1.0, rtol=1e-12)
    for (across, along), load in zip(CHIPS, module.terms().loads, strict=True):
        x, y, z = mesh.nodes[load > 0].T * 1e3
        assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((*across, *along))
        assert z.min() == pytest.approx(9.33) and z.max() == pytest.approx(9.53)
    assert PowerModule().mesh.nodes.shape == (37_505, 3)


def test_smallest_eigenvalue_of_the_energy_product_is_bounded_from_below(module):
    inner = module.space.inner("energy")
    size = module.space.size
    inverse = sla.LinearOperator((size, size), matvec=lambda v: inner.riesz(v.reshape(1, -1))[0])
    true = 1 / sla.eigsh(inverse, k=1, which="LM", tol=1e-6)[0][0]
    assert 0.01 * true < inner.lambda_min <= true


def test_constants_enclose_rayleigh_quotients(module):
    mu = module.parameters.sample(range(30), 4)
    stability, inner = module.constant(mu), module.space.inner("energy")
    rng = np.random.default_rng(0)
    w = np.concatenate([rng.normal(size=(5, module.space.size)), solve(module, mu).field[:5] - AMBIENT])
    terms = np.stack([np.einsum("bn,bn->b", w, (a @ w.T).T) for a in module.terms().matrices])
    quotients = module.coefficients(mu)[0] @ terms / inner.norm(w) ** 2
    assert (quotients >= stability.lower[:, None]).all() and (quotients <= stability.upper[:, None]).all()
    assert stability.proven


def test_fresh_designs_stay_within_their_limits_in_kelvin(module, certified):
    mu = module.parameters.sample(range(40), 5)
    answer, solution = certified.predict(mu), solve(module, mu)
    for name, quantity in module.quantities().items():
        found = answer.outputs[name]
        error = np.abs(solution.field @ quantity.functional - found.values)
        # the reference is a float64 solve: its own error in kelvin is far below every limit here
        assert (error <= found.limit).all()
        assert found.limit.max() < 5e-3 and found.unit == "°C"
        assert np.median(found.limit / error) < 6
    difference = solution.field - answer.field
    terms = np.stack([np.einsum("bn,bn->b", difference, (a @ difference.T).T) for a in module.terms().matrices])
    error = np.sqrt(np.einsum("bq,qb->b", module.coefficients(mu)[0], terms))
    stability = module.constant(mu)
    assert (error <= answer.bound).all()
    assert (answer.bound / error <= np.sqrt(stability.upper / stability.lower) * 1.001).all()


def test_decisions_at_a_threshold_are_the_solvers(module, certified):
    mu = module.parameters.sample(range(200), 6)
    verdict = certified.predict(mu).outputs["chip 1"].against(100.0)
    picked = np.flatnonzero(verdict != "undecided")[:40]
    truth = chips(module, {name: values[picked] for name, values in mu.items()})[:, 0]
    assert (np.where(truth < 100, "below", "above") == verdict[picked]).all()
    assert {"below", "above"} <= set(verdict.tolist())


def test_a_design_outside_the_ranges_is_bounded_and_marked(module, certified):
    mu = design(10.0, 30.0, 30.0, 4e4, 300.0, 10.0)
    answer = certified.predict(mu)
    assert not answer.inside[0]
    error = np.abs(chips(module, mu)[0] - [answer.outputs[f"chip {i}"].values[0] for i in (1, 2)])
    assert (error <= [answer.outputs[f"chip {i}"].limit[0] for i in (1, 2)]).all()


@pytest.mark.parametrize(("name", "value"), [("k_solder", 0.0), ("h", -5.0), ("k_interface", np.nan), ("P1", np.inf)])
def test_designs_without_a_solution_are_refused(module, name, value):
    mu = design(2, 30, 30, 5e3, 100, 20) | {name: np.array([value])}
    with pytest.raises(InputError, match=f"{name}.* in row 0"):
        module.coefficients(mu)


def test_stored_module_is_checked_and_other_resolutions_are_refused(module):
    config, arrays, _ = module.to_parts()
    assert PowerModule.from_parts(config, arrays, {}) == module
    with pytest.raises(InputError, match="not the same problem any more"):
        PowerModule.from_parts(config, {"check": arrays["check"] + 1.0}, {})
    with pytest.raises(InputError, match="multiple of 32"):
        PowerModule(50)


@pytest.mark.slow
def test_temperatures_converge_with_the_mesh():
    mu = design(2.0, 30.0, 30.0, 5e3, 100.0, 60.0)
    coarse, middle, fine = (
        Direct().solve(Direct().prepare(p), mu).field @ np.stack([q.functional for q in p.quantities().values()]).T
        for p in (PowerModule(n) for n in (32, 64, 128))
    )
    first, second = np.abs(coarse - middle).max(), np.abs(middle - fine).max()
    assert first < 0.4 and second < 0.5 * first
    # a larger space stores more energy, so that heated chips only get warmer (the meshes are nearly nested)
    assert (fine >= middle).all() and (middle >= coarse).all()
