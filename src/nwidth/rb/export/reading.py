"""What of a certified reduced basis goes into a program for another machine."""

from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.storable import Storable, fingerprint
from nwidth.problems.base import Affine
from nwidth.problems.formulas import Compiled, Formulas
from nwidth.problems.min_theta import ThetaStability, ThetaStable
from nwidth.rb.dual import DualModel
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.spaces.box import Box


@dataclass(frozen=True, eq=False)
class Exported:
    """The reduced model with its residual, its formulas, its parameters' ranges and its stability."""

    model: ReducedModel
    residual: ResidualModel
    formulas: Compiled
    stability: ThetaStability
    box: Box
    size: int
    proven: bool
    fingerprint: str
    duals: tuple[tuple[str, DualModel], ...] = ()

    @classmethod
    def of(cls, certified: Storable) -> "Exported":
        """From `nw.certify(reduced_basis, problem)`. Raises InputError with what is missing for the export."""
        certificate = certified
        duals: tuple[tuple[str, DualModel], ...] = ()
        if certified.kind == "certified":
            certificate = certified.to_parts().children["certificate"]
        if certificate.kind == "output-certificate":
            certificate, duals = _with_duals(certificate)
        if certificate.kind != "reduced-certificate":
            limits = ", which carries no limits" if certificate is certified else f" with {certificate.kind!r}"
            _refuse(f"got {certified.kind!r}{limits}")
        parts = certificate.to_parts()
        problem = parts.children["problem"]
        if "residual.rows" not in parts.arrays:
            _refuse("the residual of this basis is not held in an orthonormal basis (fit it with that estimator)")
        if not isinstance(problem, Affine):
            _refuse(f"{type(problem).__name__} is not Affine")
        formulas, box = _formulas(problem)
        stability = _stability(problem)
        return cls(
            ReducedModel.from_stored(parts.config["model"], parts.arrays),
            ResidualModel.from_stored(parts.config["residual"], parts.arrays),
            formulas,
            stability,
            box,
            len(problem.terms().lift),
            _proven(stability, formulas, box),
            fingerprint(certified),
            duals,
        )

    @cached_property
    def outputs(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of every output: those of the reduced model, then those with a dual basis alone."""
        known = dict(self.model.outputs)
        return (*self.model.outputs, *((name, dual.unit) for name, dual in self.duals if name not in known))


def row_lengths(rows: Array) -> Array:
    """How many coordinates of each functional are needed: all up to the last that is not zero, `(K,)`."""
    return np.array([int(np.max(np.flatnonzero(row), initial=-1)) + 1 for row in rows])


def _with_duals(certificate: Storable) -> tuple[Storable, tuple[tuple[str, DualModel], ...]]:
    """The certificate of the field, and the dual models by the names of their outputs."""
    parts = certificate.to_parts()
    found: list[tuple[str, DualModel]] = []
    for i, name in enumerate(parts.config["names"]):
        dual = parts.children[f"dual.{i}"]
        if not isinstance(dual, DualModel):
            _refuse(f"the output {name!r} is bounded by {dual.kind!r}")
        found.append((name, dual))
    return parts.children["fields"], tuple(found)


def _formulas(problem: Affine) -> tuple[Compiled, Box]:
    name = type(problem).__name__
    if not isinstance(problem, Formulas):
        _refuse(
            f"the coefficients of {name} are Python code: inherit nwidth.problems.formulas.Formulas and give them as "
            "text, or build it with nw.rb.from_matrices"
        )
    if not isinstance(problem.parameters, Box):
        _refuse(f"the parameters of {name} are a {type(problem.parameters).__name__}; ranges are written for a Box")
    return problem.compiled, problem.parameters


def _stability(problem: Affine) -> ThetaStability:
    if not isinstance(problem, ThetaStable):
        _refuse(
            f"{type(problem).__name__} has no stability constant that follows from its coefficients: inherit "
            "nwidth.problems.min_theta.ThetaStable"
        )
    return problem.stability


def _proven(stability: ThetaStability, formulas: Compiled, box: Box) -> bool:
    middle = box.from_unit(np.full((1, len(box.names)), 0.5))
    theta, _ = formulas(np.stack([middle[name] for name in formulas.names], axis=1))
    return stability.constants(theta).proven


def _refuse(why: str) -> NoReturn:
    raise InputError(
        f"cannot be written as C: {why}. What can be: certified = nw.certify(rb, problem) of a reduced basis rb whose "
        "coefficients are formulas; nw.rb.to_c(certified, path)"
    )
