"""A certified reduced basis as one C99 file: values, limits, ranges and a status word, for a controller.

The file computes what `Certified.predict` computes: the reduced solution, its bound in the energy norm, and each output
with its limit, rounding counted (`nwidth.certificates.reduced`). It allocates nothing, writes no global, does not
recurse, and performs the same operations for every query.
"""

from pathlib import Path

import numpy as np

from nwidth.core.errors import InputError
from nwidth.core.expressions import C_HELPERS, Expression
from nwidth.core.storable import Storable
from nwidth.io.atomic import write_atomically
from nwidth.rb.export import templates
from nwidth.rb.export.cost import Cost
from nwidth.rb.export.duals import dual_calls, dual_family, filled, residual_tables, sharpens
from nwidth.rb.export.header import header
from nwidth.rb.export.reading import Exported
from nwidth.rb.export.text import checked_identifier, comment, identifier, macros, number, table
from nwidth.rb.rounding import EPS, gamma


def to_c(
    certified: Storable, path: str | Path | None = None, *, name: str | None = None, coefficients: bool = False
) -> str:
    """The certified reduced basis as C99 text; written to `path` where that is given.

        certified = nw.certify(nw.rb.Greedy(1e-4).fit(problem=problem), problem)
        nw.rb.to_c(certified, "block.c")

    The file defines `unsigned int NAME_predict(const double mu[], NAME_result *result)`; NAME is that of the file
    unless `name` says otherwise. With `coefficients` the result also holds those of the reduced basis.

    Raises InputError for anything but a reduced basis with its certificate, for coefficients that are Python code, and
    for a name that C would not take; WorkError where the file cannot be written.
    """
    if path is not None and Path(path).suffix != ".c":
        raise InputError(f"path is {str(path)!r}; give a name that ends in .c")
    name = checked_identifier(name or identifier(Path(path).stem if path is not None else "model"))
    parts = Exported.of(certified)
    text = "\n".join([comment(header(parts, name, Cost.of(parts))), "", _interface(parts, name, coefficients),
                      _implementation(parts, name, coefficients)])  # fmt: skip
    text = _filled(text, parts, name)
    if path is not None:
        write_atomically(path, lambda stream: stream.write(text.encode("ascii")))
    return text


def _interface(parts: Exported, name: str, coefficients: bool) -> str:
    upper, outputs = name.upper(), [output for output, _ in parts.outputs]
    positions = [*macros(f"{upper}_MU_", parts.box.names), *macros(f"{upper}_OUT_", outputs)]
    members = []
    if outputs:
        members += ["    double outputs[@NAME@_OUTPUTS];              /* the quantities, in their units */"]
        members += ["    double limits[@NAME@_OUTPUTS];               /* each quantity is at most this far off */"]
    if coefficients:
        members += ["    double coefficients[@NAME@_MODES];           /* of the field in the reduced basis */"]
    return templates.INTERFACE.replace("@positions@", "\n".join(positions)).replace("@members@", "\n".join(members))


def _implementation(parts: Exported, name: str, coefficients: bool) -> str:
    outputs = bool(parts.model.outputs)
    blocks = [templates.GUARDS + templates.SIZES, *_tables(parts, name, outputs), _coefficients(parts)]
    blocks += [_stability(parts), templates.LINEAR_ALGEBRA, templates.NORM, templates.ENERGY]
    blocks += [templates.OUTPUTS] if outputs else []
    if parts.duals:
        blocks += [dual_family(parts, name, place) for place in range(len(parts.duals))]
        blocks += [templates.NO_SIZES + templates.SIZES]
    blocks += [templates.CHECKS, _predict(parts, name, coefficients), templates.NO_SIZES + "\n#endif\n"]
    return "\n".join(blocks)


def _tables(parts: Exported, name: str, outputs: bool) -> list[str]:
    model, residual = parts.model, parts.residual
    tables = {
        "low": parts.box.low,
        "high": parts.box.high,
        "matrices": model.packed,
        "loads": model.loads,
        "term_norms": model.term_norms,
        "mode_lengths": model.lengths,
    }
    if outputs:
        held, count = len(model.loads), len(model.functionals)
        tables |= {
            "functionals": model.functionals,
            "offsets": model.offsets,
            "output_weights": model.output_weights.T,
            "term_weights": np.insert(model.term_weights, [held] * count, 0.0),
        }
    texts = [table(f"{name}_{what}", np.asarray(values)) for what, values in tables.items()]
    return [*texts, *residual_tables(name, residual.rows, residual.weights)]


def _coefficients(parts: Exported) -> str:
    formulas = parts.formulas
    lines = [*_assignments("theta", formulas.theta), *_assignments("phi", formulas.phi)]
    helpers = "".join(text for helper, text in C_HELPERS.items() if any(f"{helper}(" in line for line in lines))
    used = any(f.used for f in (*formulas.theta, *formulas.phi))
    ignored = [] if used else ["    (void)mu;"]
    body = "\n".join([*ignored, *lines])
    return (
        f"{helpers}static void @name@_coefficients(const double mu[@NAME@_PARAMETERS], double theta[QA_], "
        f"double phi[QF_])\n{{\n{body}\n}}\n"
    )


def _assignments(symbol: str, formulas: tuple[Expression, ...]) -> list[str]:
    return [f"    {symbol}[{i}] = {formula.c()};" for i, formula in enumerate(formulas)]


def _stability(parts: Exported) -> str:
    statements = "\n".join(f"    {line}" for line in parts.stability.to_c().splitlines())
    return (
        "static double @name@_stability(const double theta[QA_])\n{\n    double alpha = 0.0;\n"
        f"{statements}\n    return alpha;\n}}\n"
    )


def _predict(parts: Exported, name: str, coefficients: bool) -> str:
    based = bool(parts.model.outputs)
    calls = [templates.CALL_OUTPUTS] if based else ["    (void)energy;"]
    calls += [dual_calls(parts, name)] if parts.duals else []
    sharper = "    double value;\n    double limit;" if sharpens(parts) else ""
    pieces = {
        "@locals@": "\n".join(filter(None, ["    double matrix[T_];\n    double r[N_];" if based else "", sharper])),
        "@keep@": templates.KEEP if based else "",
        "@outputs@": "\n".join(calls),
        "@coefficients@": templates.COPY_COEFFICIENTS if coefficients else "",
        "@refusal@": templates.REFUSE_OUTPUTS if parts.outputs else "",
    }
    text = templates.PREDICT
    for place, piece in pieces.items():
        text = text.replace(f"{place}\n", f"{piece}\n" if piece else "")
    return text


def _filled(text: str, parts: Exported, name: str) -> str:
    """The text with its names and numbers in place."""
    model, residual = parts.model, parts.residual
    modes = model.modes
    values = {
        "name": name,
        "NAME": name.upper(),
        "P": len(parts.box.names),
        "S": len(parts.outputs),
        "base": len(model.functionals),
        "n": modes,
        "K": len(residual.rows),
        "M": residual.rows.shape[1],
        "T": modes * (modes + 1) // 2,
        "QA": len(model.matrices),
        "QF": len(model.loads),
        "fixed": residual.fixed,
        "gain": number(residual.gain * (1 + gamma(residual.rows.shape[1] + 16))),
        "one": number(1 + 16 * EPS),
        "one_half": number(1 + 8 * EPS),
        "four_eps": number(4 * EPS),
        "reconstruction": number(gamma(modes + 2)),
        "lift": number(2 * EPS * model.lift_length),
    }
    return filled(text, values)
