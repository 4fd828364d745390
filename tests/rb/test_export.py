"""The exported C file against Python and extended precision, and with everything that can go wrong in the field."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, corners, energy_error, exact
from tests.rb.compiled_c import (
    NO_COEFFICIENT,
    NO_LIMIT,
    NOT_DEFINITE,
    NOT_FINITE,
    NOT_STABLE,
    OUTSIDE,
    STRICT,
    STRICTER,
    Compiled,
    compile_c,
    needs_compiler,
    rows_of,
)
from tests.rb.written import Written

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.online.outputs import certify_outputs
from nwidth.problems.base import Quantity
from nwidth.problems.quantities import Quadratic
from nwidth.rb.export.c99 import to_c
from nwidth.rb.export.text import comment, identifier, macros
from nwidth.rb.greedy import Greedy

THETA, PHI = ["1", "k", "exp(-h) + k * h"], ["1", "min(k, h) - max(k, 1)"]
NAMES = ("k", "h")


def certified_case(theta=THETA, phi=PHI, tol=1e-4, max_size=60, **options):
    problem = Written(theta, phi, **options)
    return nw.certify(Greedy(tol=tol, max_size=max_size, training=60).fit(problem=problem), problem)


def cases(certified, count=40):
    """Random parameters and every corner."""
    problem = certified.certificate.problem
    mu, ends = problem.parameters.sample(range(count), 3), corners(problem)
    return {name: np.concatenate([mu[name], ends[name]]) for name in mu}


@pytest.fixture(scope="module")
def certified():
    return certified_case(size=60)


@pytest.fixture(scope="module")
def model(certified, tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "block.c"
    to_c(certified, path, coefficients=True)
    return Compiled(path, 2, 2, certified.surrogate.modes, options=("-O2", *STRICTER))


def same_numbers(certified, model, mu, coefficients=True):
    """Outputs to 1e-12 of what is summed; limits to that, and to what rounding can do to a small residual."""
    python, rows = certified.predict(mu), rows_of(mu, NAMES)
    results = [model(row) for row in rows]
    size = np.sqrt(np.abs(python.values.coefficients**2).sum(axis=1))
    bound = np.array([r.bound for r in results])
    np.testing.assert_array_less(np.abs(bound - python.bound), 1e-12 * (size + python.bound))
    assert (np.abs(bound - python.bound) <= 1e-6 * python.bound + 4 * python.stats["floor"]).all()
    for i, output in enumerate(python.outputs.values()):
        values, limits = np.array([(r.outputs[i], r.limits[i]) for r in results]).T
        reduced = certified.surrogate.model
        scale = np.abs(reduced.offsets[i]) + np.abs(python.values.coefficients) @ np.abs(reduced.functionals[i])
        assert (np.abs(values - output.values) <= 1e-12 * scale).all()
        assert (np.abs(limits - output.limit) <= 1e-12 * scale).all()
        assert (np.abs(limits - output.limit) <= 1e-6 * output.limit + 1e-13 * scale).all()
    if coefficients:
        ours = np.array([list(r.coefficients) for r in results])
        np.testing.assert_allclose(ours, python.values.coefficients, rtol=1e-11, atol=1e-12 * size.max())
    assert all(r.status == 0 and not any(r.range) for r in results)


@needs_compiler
def test_the_c_file_computes_what_python_computes(certified, model):
    same_numbers(certified, model, cases(certified))


@needs_compiler
def test_the_zoo_too(tmp_path):
    problem = nw.problems.get("thermal_block", resolution=12)
    certified = nw.certify(Greedy(tol=1e-4, training=60).fit(problem=problem), problem)
    to_c(certified, tmp_path / "block.c")
    model = Compiled(tmp_path / "block.c", 4, 1)
    mu = cases(certified)
    python = certified.predict(mu)
    rows = rows_of(mu, problem.parameters.names)
    np.testing.assert_allclose(model.table(rows, "outputs")[:, 0], python.outputs["mean"].values, rtol=1e-12)
    np.testing.assert_allclose(model.table(rows, "limits")[:, 0], python.outputs["mean"].limit, rtol=1e-6)
    np.testing.assert_allclose(model.table(rows, "bound"), python.bound, rtol=1e-6)


@needs_compiler
@settings(max_examples=10, deadline=None)
@given(
    st.integers(3, 30), st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.booleans(), st.integers(0, 10**6)
)
def test_random_models(tmp_path_factory, size, terms, loads, modes, outputs, seed):
    theta = list(itertools.islice(itertools.cycle(["k", "0.5 + h", "sqrt(k * h)", "2"]), terms))
    phi = list(itertools.islice(itertools.cycle(["h - 3", "1", "abs(sin(k)) + 0.1"]), loads))
    certified = certified_case(theta, phi, None, min(modes, size) * loads, size=size, seed=seed, outputs=outputs)
    path = tmp_path_factory.mktemp("random") / "m.c"
    to_c(certified, path, coefficients=True)
    model = Compiled(path, 2, 2 if outputs else 0, certified.surrogate.modes, options=("-O1", *STRICTER))
    same_numbers(certified, model, cases(certified, 8))


@needs_compiler
@pytest.mark.parametrize("options", [("-O0",), ("-O3", "-march=native", "-ffp-contract=fast")])
@pytest.mark.parametrize("modes", [2, 12, 40])
def test_the_limits_hold_whatever_the_compiler_does(tmp_path, options, modes):
    """Fused operations and another order change last digits: the error must stay below the limit, down to rounding."""
    certified = certified_case(tol=None, max_size=modes, size=20, spread=1e4)
    path = tmp_path / "m.c"
    to_c(certified, path, coefficients=True)
    surrogate, problem = certified.surrogate, certified.certificate.problem
    model = Compiled(path, 2, 2, surrogate.modes, options=options)
    mu = cases(certified, 20)
    rows, u = rows_of(mu, NAMES), exact(problem, mu)
    fields = problem.terms().lift + model.table(rows, "coefficients") @ surrogate.basis
    assert (energy_error(problem, mu, u, fields) <= model.table(rows, "bound")).all()
    for i, quantity in enumerate(problem.quantities().values()):
        truth = u @ quantity.functional.astype(u.dtype) + quantity.offset
        error = np.abs((truth - model.table(rows, "outputs")[:, i]).astype(float))
        limits = model.table(rows, "limits")[:, i]
        assert (error <= limits).all() and (limits > 0).all()


@needs_compiler
def test_range_and_status(certified, model):
    inside = model((1.0, 1.0))
    assert inside.status == 0 and list(inside.range) == [0, 0]
    assert model((0.1, 10.0)).status == 0  # the ends belong to the range
    below, above = model((0.05, 1.0)), model((1.0, 10.5))
    assert (below.status, list(below.range)) == (OUTSIDE, [-1, 0])
    assert (above.status, list(above.range)) == (OUTSIDE, [0, 1])
    truth = certified.predict({"k": np.array([0.05]), "h": np.array([1.0])})
    assert not truth.inside[0]
    np.testing.assert_allclose(below.limits[1], truth.outputs["other"].limit[0], rtol=1e-6)


def no_limits(result):
    outputs, limits = list(result.outputs), list(result.limits)
    return np.isfinite(outputs).all() and np.isposinf(limits).all() and np.isposinf(result.bound)


@needs_compiler
@pytest.mark.parametrize(
    ("row", "range_"), [((np.nan, 1.0), [1, 0]), ((1.0, np.inf), [0, 1]), ((-np.inf, np.nan), [-1, 1])]
)
def test_a_broken_sensor_gives_no_limit_and_no_nan(model, row, range_):
    result = model(row)
    assert result.status == OUTSIDE | NOT_FINITE | NO_LIMIT
    assert list(result.range) == range_
    assert no_limits(result) and list(result.outputs) == [0, 0]
    assert not np.any(list(result.coefficients))


@needs_compiler
def test_coefficients_without_a_value_a_negative_constant_and_an_overflow(tmp_path):
    certified = certified_case(["k - 0.05", "1 / (k - 11)**2", "3 + 0 * log(k)"], ["h"], size=10)
    path = tmp_path / "m.c"
    to_c(certified, path)
    model = Compiled(path, 2, 2)
    assert model((1.0, 1.0)).status == 0
    infinite = model((11.0, 1.0))
    assert infinite.status == OUTSIDE | NO_COEFFICIENT | NO_LIMIT and no_limits(infinite)
    logarithm = model((-1.0, 1.0))
    assert logarithm.status & NO_COEFFICIENT and logarithm.status & NO_LIMIT and no_limits(logarithm)
    negative = model((0.01, 1.0))
    assert negative.status & NOT_STABLE and negative.status & NO_LIMIT and no_limits(negative)
    huge = model((1.0, 1e308))
    assert huge.status & NO_LIMIT and no_limits(huge)


@needs_compiler
def test_a_matrix_that_is_not_definite_is_reported(tmp_path):
    certified = certified_case(["k", "h", "k + h"], ["1"], size=10)
    path = tmp_path / "m.c"
    to_c(certified, path)
    result = Compiled(path, 2, 2)((-1.0, -2.0))
    assert result.status == OUTSIDE | NOT_STABLE | NOT_DEFINITE | NO_LIMIT
    assert no_limits(result) and list(result.outputs) == [0, 0]


@needs_compiler
@pytest.mark.parametrize("option", ["-ffast-math", "-Ofast", "-ffinite-math-only"])
def test_fast_math_is_refused(certified, tmp_path, option):
    to_c(certified, tmp_path / "m.c")
    done = compile_c(tmp_path / "m.c", "-std=c99", option, "-c", "-o", "m.o")
    assert done.returncode != 0 and "compile without -ffast-math" in done.stderr


MAIN = """\
#include <stdio.h>
#define M_INTERFACE_ONLY
#include "m.c"
#undef M_INTERFACE_ONLY
int main(void)
{
    double mu[M_PARAMETERS];
    m_result result;
    while (scanf("%lf %lf", &mu[0], &mu[1]) == 2) {
        const unsigned int status = m_predict(mu, &result);
        printf("%u %a %a %a\\n", status, result.outputs[0], result.limits[0], result.bound);
    }
    return 0;
}
"""


@needs_compiler
def test_the_sanitizers_find_nothing_and_the_numbers_are_the_same(certified, model, tmp_path):
    to_c(certified, tmp_path / "m.c")
    (tmp_path / "main.c").write_text(MAIN)
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    if compile_c(tmp_path / "main.c", *sanitize, "-DM_INTERFACE_ONLY", "-c", "-o", "probe.o").returncode:
        pytest.skip("this compiler has no sanitizers")
    done = compile_c(tmp_path / "main.c", *STRICT, "-O1", "-g", *sanitize, "m.c", "-o", "main")
    assert done.returncode == 0, done.stderr
    rows = [*rows_of(cases(certified), NAMES), (np.nan, 1.0), (1e308, 1e308), (-1.0, 0.0)]
    text = "\n".join(f"{float(k)!r} {float(h)!r}" for k, h in rows)
    ran = subprocess.run([str(tmp_path / "main")], input=text, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and not ran.stderr, ran.stderr
    for row, line in zip(rows, ran.stdout.splitlines(), strict=True):
        expected, (status, *numbers) = model(row), line.split()
        assert int(status) == expected.status
        found = [float.fromhex(n) for n in numbers]
        np.testing.assert_allclose(found, [expected.outputs[0], expected.limits[0], expected.bound], rtol=1e-6)


def with_duals(certified, linear="other", **options):
    """Dual bases for an output that the primal basis bounds too, and for two that it does not."""
    size = certified.space.size
    rng = np.random.default_rng(0)
    root = sp.csr_array(rng.normal(size=(size, size)) / size)
    outputs = {
        linear: certified.certificate.problem._inner.quantities()["other"],
        "energy": Quadratic(root @ root.T, rng.normal(size=size), 0.5, "J"),
        "point": Quantity(1.0 * (np.arange(size) == size - 1), 2.0, "K"),
    }
    return certify_outputs(certified.surrogate, outputs=outputs, training=20, **{"tol": 1e-3} | options)


@needs_compiler
@pytest.mark.parametrize("outputs", [True, False])
def test_outputs_with_dual_bases_of_their_own(tmp_path, outputs):
    """Linear and quadratic ones; where both bases bound an output the smaller limit counts."""
    certified = with_duals(certified_case(size=30, tol=1e-2, outputs=outputs))
    path = tmp_path / "m.c"
    to_c(certified, path, coefficients=True)
    problem = certified.surrogate.problem
    mu = problem.parameters.sample(range(20), 3)
    python, rows, u = certified.predict(mu), rows_of(mu, NAMES), exact(problem, mu)
    names = list(python.outputs)
    assert names == (["compliant", "other", "energy", "point"] if outputs else ["other", "energy", "point"])
    model = Compiled(path, 2, len(names), certified.surrogate.modes, options=("-O2", *STRICTER))
    values, limits = model.table(rows, "outputs"), model.table(rows, "limits")
    duals = certified.certificate.duals
    for i, name in enumerate(names):
        output = python.outputs[name]
        scale = np.abs(output.values).max() + 1
        np.testing.assert_allclose(values[:, i], output.values, rtol=1e-12, atol=1e-12 * scale)
        np.testing.assert_allclose(limits[:, i], output.limit, rtol=1e-5, atol=1e-13 * scale)
        if name == "energy":
            matrix = duals_matrix(certified, name)
            truth = np.einsum("bi,ij,bj->b", u, matrix[0], u) + u @ matrix[1] + 0.5
        elif name == "point":
            truth = u[:, -1] + 2.0
        else:
            quantity = problem._inner.quantities()[name]
            truth = u @ quantity.functional.astype(u.dtype) + quantity.offset
        assert (np.abs((truth - values[:, i]).astype(float)) <= limits[:, i]).all(), name
    if outputs:
        plain = certified.certificate.fields.bound(certified.surrogate.predict(mu)).outputs["other"].limit
        assert np.median(limits[:, 1] / plain) < 0.3 and (limits[:, 1] <= plain * (1 + 1e-6)).all()
    assert len(duals) == 3
    assert no_limits(model((np.nan, 1.0))) and no_limits(model((1.0, -np.inf)))
    outside = model((20.0, 1.0))
    assert outside.status == OUTSIDE and np.isfinite(list(outside.limits)).all()


def duals_matrix(certified, name):
    """The quadratic output that `with_duals` makes, in the wide type."""
    size = certified.space.size
    rng = np.random.default_rng(0)
    root = sp.csr_array(rng.normal(size=(size, size)) / size)
    return (root @ root.T).toarray().astype(np.longdouble), rng.normal(size=size).astype(np.longdouble)


COUNTING = """\
#include <cmath>
#include <cstdio>
#include <cstddef>
#include <cfloat>
static unsigned long ops, divs, roots, exps;
struct Real {
    double v;
    Real() = default;
    Real(double x) : v(x) {}
    explicit operator double() const { return v; }
    Real operator-() const { return Real(-v); }
    Real &operator+=(const Real &o) { ++ops; v += o.v; return *this; }
    Real &operator-=(const Real &o) { ++ops; v -= o.v; return *this; }
};
static Real operator+(const Real &a, const Real &b) { ++ops; return Real(a.v + b.v); }
static Real operator-(const Real &a, const Real &b) { ++ops; return Real(a.v - b.v); }
static Real operator*(const Real &a, const Real &b) { ++ops; return Real(a.v * b.v); }
static Real operator/(const Real &a, const Real &b) { ++divs; return Real(a.v / b.v); }
static bool operator<(const Real &a, const Real &b) { return a.v < b.v; }
static bool operator>(const Real &a, const Real &b) { return a.v > b.v; }
static bool operator<=(const Real &a, const Real &b) { return a.v <= b.v; }
static bool operator>=(const Real &a, const Real &b) { return a.v >= b.v; }
static bool operator!=(const Real &a, const Real &b) { return a.v != b.v; }
static Real sqrt(const Real &a) { ++roots; return Real(std::sqrt(a.v)); }
static Real exp(const Real &a) { ++exps; return Real(std::exp(a.v)); }
static Real fabs(const Real &a) { return Real(std::fabs(a.v)); }
#define double Real
#include "m.c"
#undef double
int main() {
    double rows[][2] = {{1, 1}, {0.1, 10}, {NAN, 1}, {50, 0}, {-1, -1}};
    for (auto &row : rows) {
        Real mu[2] = {Real(row[0]), Real(row[1])};
        m_result result;
        ops = divs = roots = exps = 0;
        m_predict(mu, &result);
        std::printf("%lu %lu %lu %lu\\n", ops, divs, roots, exps);
    }
}
"""


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler (c++) to count operations with")
@pytest.mark.parametrize("case", ["outputs", "no outputs", "dual bases", "dual bases alone"])
def test_every_query_takes_the_operations_that_the_header_states(tmp_path, case):
    certified = certified_case(tol=1e-2, size=15, outputs=case in ("outputs", "dual bases"))
    text = to_c(with_duals(certified) if "dual" in case else certified, tmp_path / "m.c")
    (tmp_path / "count.cpp").write_text(COUNTING)
    done = compile_c(tmp_path / "count.cpp", "-std=c++17", "-w", "-fpermissive", "-o", "count", compiler="c++")
    assert done.returncode == 0, done.stderr
    counted = subprocess.run([str(tmp_path / "count")], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(set(counted)) == 1, "the operations depend on the data"
    ops, divisions, roots, exps = map(int, counted[0].split())
    words = re.sub(r"\n \*", "", text).replace(",", "")
    said = re.search(r"(\d+) additions and multiplications (\d+) divisions calls: (\d+) exp (\d+) sqrt", words)
    # the stability constant of three terms: three divisions, then low - slack (|low| + |high|)
    assert (ops - 3, divisions - 3, exps, roots) == tuple(map(int, said.groups()))


@needs_compiler
@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm to list symbols with")
def test_nothing_is_written_but_the_result_and_nothing_is_allocated(certified, tmp_path):
    to_c(certified, tmp_path / "m.c")
    assert compile_c(tmp_path / "m.c", "-std=c99", "-O0", "-c", "-o", "m.o").returncode == 0
    symbols = [
        line.split()[-2:] for line in subprocess.check_output(["nm", str(tmp_path / "m.o")], text=True).splitlines()
    ]
    kinds = {kind for kind, _ in symbols}
    assert not kinds & set("dDbBC"), "data that can be written"
    assert {name for kind, name in symbols if kind == "U"} <= {
        "sqrt",
        "exp",
        "__stack_chk_fail",
        "_GLOBAL_OFFSET_TABLE_",
    }
    assert [name for kind, name in symbols if kind == "T"] == ["m_predict"]
    assert not re.search(r"\b(goto|malloc|calloc|while|static double \w+\[)\b", (tmp_path / "m.c").read_text())


@needs_compiler
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler (c++)")
def test_programs_in_other_c_and_in_cpp_call_it(certified, tmp_path):
    to_c(certified, tmp_path / "m.c")
    for standard in ("c99", "c11", "c17", "gnu99"):
        options = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2", "-c", "-o", "m.o")
        assert compile_c(tmp_path / "m.c", f"-std={standard}", *options).returncode == 0, standard
    (tmp_path / "main.cpp").write_text(
        '#define M_INTERFACE_ONLY\n#include "m.c"\n'
        "int main() { const double mu[] = {1.0, 20.0}; m_result now; return static_cast<int>(m_predict(mu, &now)); }\n"
    )
    done = compile_c(
        tmp_path / "main.cpp", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "m.o", "-o", "main", compiler="c++"
    )
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == OUTSIDE


def test_the_header_says_what_is_promised(certified):
    text = to_c(certified, name="block")
    words = " ".join(text.partition("*/")[0].replace("\n *", " ").split())
    for said in (
        "at most its limit away from the result of your finite-element model of 61 unknowns",
        "Guaranteed.",
        "Counted: reduction, rounding (of this computation too). Not counted: mesh, material data",
        "not a safety certification",
        "mu[1] h: 0.1 to 10 W/m2K",
        "outputs[0] compliant K",
        "theta (3): 1, k, exp(-h) + k * h",
        f"Model SHA-256: {nw.core.storable.fingerprint(certified)}",
    ):
        assert said in words, said
    assert text.isascii()


def test_a_saved_model_gives_the_same_file(certified, tmp_path):
    nw.save(certified, tmp_path / "m.nwidth")
    again = nw.load(tmp_path / "m.nwidth", kinds=[Written])
    assert to_c(again, name="block") == to_c(certified, name="block")


class Unproven(Written):
    """Its constant is an estimate."""

    kind = "testing-unproven"

    @property
    def stability(self):
        from nwidth.problems.base import Stability
        from nwidth.problems.min_theta import MinTheta

        class Guess(MinTheta):
            kind = "testing-guess"

            def constants(self, theta):
                found = super().constants(theta)
                return Stability(found.lower, found.upper, proven=False)

        return Guess(np.ones(3), 1e-10)


def test_without_a_proof_the_header_promises_nothing():
    problem = Unproven(THETA, PHI, size=10)
    text = to_c(nw.certify(Greedy(tol=1e-2, training=20).fit(problem=problem), problem))
    head = text.partition("*/")[0]
    assert "Indication only" in head and "Missing: a proven stability constant" in head and "Guaranteed" not in head


def test_what_cannot_be_exported_is_refused_with_the_reason(certified, tmp_path):
    with pytest.raises(InputError, match=r"got 'reduced-basis'.*nw\.rb\.to_c"):
        to_c(certified.surrogate)
    coded = Random(size=10)
    with pytest.raises(InputError, match="the coefficients of Random are Python code"):
        to_c(nw.certify(Greedy(tol=1e-1, training=20).fit(problem=coded), coded))
    with pytest.raises(InputError, match=r"ends in \.c"):
        to_c(certified, tmp_path / "model.h")
    with pytest.raises(InputError, match="does not exist; create it first"):
        to_c(certified, tmp_path / "nowhere" / "model.c")
    for name in ("9lives", "a-b", "while", "a" * 60, "größe"):
        with pytest.raises(InputError, match="give a C identifier"):
            to_c(certified, name=name)


def test_names_and_units_cannot_leave_the_comment():
    text = comment(["*/ int evil; /*", "??/ trigraph", "back\\", "°C/m²", "@NAME@", "é"])
    assert text.count("*/") == 1 and text.count("/*") == 1 and text.endswith("*/")
    assert "??" not in text and "\\" not in text and "degC/m2" in text and "@" not in text and text.isascii()


def test_macros_are_identifiers_and_different():
    assert macros("M_OUT_", ["chip 1", "chip-1", "T max (°C)"]) == [
        "#define M_OUT_CHIP_1 0",
        "#define M_OUT_CHIP_1_1 1",
        "#define M_OUT_T_MAX_DEGC 2",
    ]
    assert identifier("2 x 2 block") == "m_2_x_2_block" and identifier("double") == "m_double"
    assert identifier("°") == "deg" and identifier("é") == "model"


def test_the_file_is_named_after_its_model(certified, tmp_path):
    to_c(certified, tmp_path / "my-module v2.c")
    assert "my_module_v2_predict(" in Path(tmp_path / "my-module v2.c").read_text()
