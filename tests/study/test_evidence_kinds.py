"""Evidence for other kinds of problems and limits: transport, L2, fields as parameters, runs without an equation."""

from dataclasses import replace

import numpy as np
import pytest
from tests.rb.evolution_cases import HeatLine
from tests.study.evidence_cases import Changed, checked, scaled, state_of

import nwidth as nw
from nwidth.reports.evidence import State
from nwidth.spaces.trajectories import Trajectories
from nwidth.spaces.typical import TypicalFields
from nwidth.study.evidence_cases import cases_of
from nwidth.study.evidence_checks import Subject, checks_of
from nwidth.study.field_errors import field_errors
from nwidth.surrogates.function import FunctionSurrogate


def off(problem, size):
    """The solutions, off by a smooth part of their size."""

    def answer(mu):
        truth = nw.solve(problem, mu).field
        x = np.linspace(0, 1, truth.shape[-1])
        return truth * (1 + size * np.sin(7 * x))

    return nw.from_function(answer, problem)


@pytest.fixture(scope="module")
def transport():
    return nw.problems.get("advection_diffusion", resolution=12)


@pytest.fixture(scope="module")
def darcy():
    return nw.problems.get("darcy", resolution=16, modes=8)


def test_transport_is_measured_in_the_energy_of_its_symmetric_part(transport):
    mu = transport.parameters.sample(range(2), 0)
    rng = np.random.default_rng(0)
    difference = rng.standard_normal((2, *transport.space.shape))
    found = field_errors("energy norm", transport, mu, difference)
    for i in range(2):
        system = transport.assemble({name: values[i : i + 1] for name, values in mu.items()})
        e = np.where(system.free, difference[i].ravel(), 0.0)
        symmetric = 0.5 * (system.matrix + system.matrix.T)
        assert found[i] == pytest.approx(np.sqrt(e @ (symmetric @ e)), rel=1e-10)


@pytest.mark.parametrize(("factor", "state"), [(1.0, State.HOLDS), (0.2, State.FAILS)])
def test_a_limit_for_transport_is_checked_against_a_factorisation(transport, factor, state):
    certified = nw.certify(off(transport, 0.1), transport)
    changed = nw.Certified(certified.surrogate, Changed(certified.certificate, scaled(factor)))
    checks = checked(changed, transport, count=4)
    assert state_of(checks, "not below the true error") is state
    assert state_of(checks, "energy norm: the limit holds") is state
    assert "symmetric" not in " ".join(a.text for a in checks)


@pytest.mark.parametrize(("factor", "state"), [(1.0, State.HOLDS), (1e-3, State.FAILS)])
def test_a_limit_in_l2_is_measured_in_l2(darcy, factor, state):
    certified = nw.certify(off(darcy, 0.1), darcy, norm="l2")
    changed = nw.Certified(certified.surrogate, Changed(certified.certificate, scaled(factor)))
    checks = checked(changed, darcy, count=4)
    assert state_of(checks, "L2 norm: the limit holds") is state
    assert state_of(checks, "not below the true error") is state
    assert "theory allows" not in " ".join(a.text for a in checks)


def test_the_error_of_the_mesh_is_bounded_where_it_can_be(darcy):
    checks = checked(nw.certify(off(darcy, 0.1), darcy), darcy, count=4)
    (mesh,) = [a for a in checks if "exact one" in a.text]
    assert mesh.state is State.OPEN and "the mesh's part at most" in mesh.number
    truth = checked(nw.certify(off(darcy, 0.0), darcy), darcy, count=4)
    (alone,) = [a for a in truth if "exact one" in a.text]
    whole, part = (float(text.split()[0]) for text in alone.number.split("at most ")[1:])
    assert whole == pytest.approx(part, rel=0.1)  # without a surrogate's error the mesh's is all there is


def test_fields_of_another_law_are_seen(darcy):
    runs = nw.generate(darcy, 150, seed=0)
    surrogate = nw.rb.PODRegression(modes=4).fit(runs)
    assert isinstance(surrogate.parameters, TypicalFields)
    certified = nw.certify(surrogate, holdout=nw.generate(darcy, 40, seed=1))
    fresh = nw.generate(darcy, 40, seed=2)
    brighter = replace(fresh, mu={"a": 1.1 * np.asarray(fresh.mu["a"])})
    for runs, state in ((fresh, State.HOLDS), (brighter, State.FAILS)):
        found = Subject("s", certified, None, cases_of(certified, None, runs, "given"))
        assert state_of(checks_of(found), "training fields") is state


def test_a_model_of_runs_alone_says_what_was_measured_when_it_was_fitted(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{p!r},{2 * p * p!r}" for p in rng.uniform(1, 2, 40).tolist()]
    (tmp_path / "runs.csv").write_text("\n".join(["p,y", *rows]))
    nw.fit_runs(tmp_path / "runs.csv", output=tmp_path / "m.nwidth", outputs=["y"], level=0.8)
    found = nw.write_evidence(tmp_path / "m.nwidth", tmp_path / "page").evidence
    assert state_of(found.assumptions, "when the model was fitted") is State.HOLDS
    assert any("when it was fitted" in row[0] for row in found.counts.rows)
    assert found.failing == ()


@pytest.mark.parametrize(("factor", "state"), [(1.0, State.HOLDS), (0.05, State.FAILS)])
def test_limits_in_time_are_measured_in_the_norm_of_the_mass(factor, state):
    problem = HeatLine(24)
    trajectories = Trajectories(problem.space, problem.times)
    certified = nw.certify(
        FunctionSurrogate(lambda mu: 1.01 * problem.exact(mu), problem.parameters, trajectories), problem
    )

    def change(answer):
        return replace(answer, stats={**answer.stats, "in time": factor * answer.stats["in time"]})

    changed = nw.Certified(certified.surrogate, Changed(certified.certificate, change))
    checks = checked(changed, problem, count=3)
    assert state_of(checks, "field, norm of the mass, each case at the worst of") is state
