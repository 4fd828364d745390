"""Outputs with dual bases of their own, in C99: the same functions again in other sizes, and one more for the limit."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from nwidth.rb.dual import DualModel
from nwidth.rb.export import dual_templates, templates
from nwidth.rb.export.reading import Exported, row_lengths
from nwidth.rb.export.text import number, table
from nwidth.rb.rounding import EPS, gamma


def filled(text: str, values: Mapping[str, Any]) -> str:
    """The text with names and numbers in the place of `@key@`."""
    return re.sub(r"@(\w+)@", lambda found: str(values[found[1]]), text)


def residual_tables(name: str, rows: np.ndarray, weights: np.ndarray) -> list[str]:
    """Coordinates of the residual without the zeros at the ends of rows."""
    lengths = row_lengths(rows)
    kept = np.concatenate([row[:count] for row, count in zip(rows, lengths, strict=True)])
    kind = "unsigned short" if lengths.max() < 2**16 else "unsigned long"
    return [table(f"{name}_lengths", lengths, kind), table(f"{name}_rows", kept), table(f"{name}_weights", weights)]


def dual_family(parts: Exported, name: str, place: int) -> str:
    """Tables and functions of dual model number `place`."""
    dual = parts.duals[place][1]
    values = _values(parts, dual, name, place)
    quadratic = "" if dual.linear else dual_templates.QUADRATIC
    output = dual_templates.OUTPUT.replace("@quadratic@\n", quadratic)
    tables = "\n".join(_tables(dual, values["name"]))
    return filled(
        "\n".join([templates.NO_SIZES + templates.SIZES, tables, templates.LINEAR_ALGEBRA, templates.NORM, output]),
        values,
    )


def dual_calls(parts: Exported, name: str) -> str:
    """What `predict` does with the dual models."""
    known = [output for output, _ in parts.model.outputs]
    lines = []
    for i, (output, _) in enumerate(parts.duals):
        text = dual_templates.SHARPER if output in known else dual_templates.FRESH
        place = [o for o, _ in parts.outputs].index(output)
        lines.append(filled(text, {"name": f"{name}_d{i}", "place": place}))
    return "\n".join(lines)


def sharpens(parts: Exported) -> bool:
    """Whether some output is bounded by both bases."""
    known = [output for output, _ in parts.model.outputs]
    return any(output in known for output, _ in parts.duals)


def _tables(dual: DualModel, name: str) -> list[str]:
    arrays = {
        "matrices": dual.dual.packed,
        "loads": dual.dual.loads,
        "term_norms": dual.dual.term_norms,
        "mode_lengths": dual.dual.lengths,
        "cross": dual.cross,
        "cross_loads": dual.cross_loads,
        "load_norms": dual.load_norms,
        "functional": dual.functional,
        "primal_lengths": dual.primal_lengths,
    }
    if not dual.linear:
        arrays["quadratic"] = dual.quadratic
    texts = [table(f"{name}_{what}", np.asarray(values)) for what, values in arrays.items()]
    return [*texts, *residual_tables(name, dual.residual.rows, dual.residual.weights)]


def _values(parts: Exported, dual: DualModel, name: str, place: int) -> dict[str, Any]:
    modes, residual = dual.dual.modes, dual.residual
    return {
        "name": f"{name}_d{place}",
        "NAME": name.upper(),
        "n": modes,
        "K": len(residual.rows),
        "M": residual.rows.shape[1],
        "T": modes * (modes + 1) // 2,
        "QA": len(dual.dual.matrices),
        "QF": len(dual.dual.loads),
        "fixed": residual.fixed,
        "loads": len(parts.model.loads),
        "primal": parts.model.modes,
        "gain": number(residual.gain * (1 + gamma(residual.rows.shape[1] + 16))),
        "dual_one": number(1 + 32 * EPS),
        "one": number(1 + 16 * EPS),
        "four_eps": number(4 * EPS),
        "gamma": number(gamma(dual.operations)),
        "continuity": number(dual.continuity),
        "offset": number(dual.offset),
        "offset_size": number(dual.offset_size),
        "functional_norm": number(dual.functional_norm),
        "quadratic_norm": number(dual.quadratic_norm),
    }
