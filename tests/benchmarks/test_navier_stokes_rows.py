"""The published scheme as a contestant: its two forms are one scheme, and it converges to the answer of the package."""

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def schemes(beside):
    return beside("_navier_stokes_schemes"), beside("_navier_stokes_rows")


def test_real_and_complex_transforms_give_the_same_steps(schemes):
    module, rows = schemes
    case = rows._case(32, 0.0, 0.1, seed=0)
    ends = []
    for scheme in (module.AsPublished, module.WithRealTransforms):
        stepper = scheme(32, 1e-3, 1e-2, torch.float64)
        ends.append(stepper.field(stepper.run(stepper.transform(torch.from_numpy(case.start[0])), 10)))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-13)


def test_the_published_scheme_converges_at_first_order_to_the_package_s_answer(schemes):
    module, rows = schemes
    case = rows._case(32, 0.0, 1.0, seed=0)
    errors = [rows._euler(case, module.WithRealTransforms, h, torch.float64).error for h in (0.02, 0.01, 0.005)]
    assert 0.9 < errors[0] / errors[1] / 2 < 1.1
    assert 0.95 < errors[1] / errors[2] / 2 < 1.05
    assert 1e-5 < errors[2] < 1e-3


def test_the_small_version_of_the_benchmark_has_its_rows(schemes):
    _, rows = schemes
    found = rows.rows(quick=True, seed=0)
    assert [row.target for row in found[:2]] == [25, 3]
    assert all(row.measured > 0 for row in found)
    ours = found[0].detail["ours"]
    assert ours["error"] <= found[0].detail["published"]["error"]
