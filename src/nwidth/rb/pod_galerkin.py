"""A certified reduced basis from snapshots that exist already: their POD modes, and Galerkin's method."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, batch_size, check_choice, select
from nwidth.problems.base import Affine, AffineTerms, Problem
from nwidth.rb.galerkin import ReducedBasis, quantities_of
from nwidth.rb.model import ReducedModel, stacked
from nwidth.rb.pod_basis import METHODS, POD, pod
from nwidth.rb.residual import ResidualBuilder
from nwidth.rb.threads import threads
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.direct import Direct
from nwidth.surrogates.base import Fitter, Run

#: Full-order solutions made at a time where no snapshots are given.
_BLOCK = 32
#: Prescribed values are met by the modes up to this part of their largest entry.
_EXACT = 1e-8


@dataclass(frozen=True)
class PODGalerkin(Fitter):
    """A reduced basis from the POD of snapshots, in the energy product and about the prescribed values.

    tol: the part of the snapshots' energy norm (root mean square) that the modes may leave out; `modes`: how many,
    instead.
    method: as in `nw.rb.pod`: "auto", "svd", "snapshots", "randomised", "streaming" (one pass over a store that need
    not fit into memory; with `Run(workdir=...)` an interrupted pass goes on).
    training: without snapshots, how many parameters are drawn and solved for, or a mapping name -> `(B,)`.

    The greedy search (`Greedy`) needs fewer full-order solutions and looks at the worst case; this takes the runs that
    there are, and is the best on average over them. The residual's basis and so the limits are the same; truncating is
    free. Reference: Quarteroni, Manzoni and Negri (2016), chapter 6.
    """

    tol: float = 1e-5
    modes: int | None = None
    method: str = "auto"
    training: int | Mapping[str, Any] = 100

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        if not 0 < self.tol < 1:
            raise InputError(f"tol is {self.tol}; it is the part of the variation left out: choose between 0 and 1")
        if (self.modes is not None and self.modes < 1) or (isinstance(self.training, int) and self.training < 1):
            raise InputError(f"modes is {self.modes}, training {self.training}; both must be at least 1")

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> ReducedBasis:
        """The reduced basis. Raises InputError for a problem that is not Affine or snapshots of another one,
        WorkError where `tol` is out of reach."""
        if not isinstance(problem, Affine):
            raise InputError(
                f"a reduced basis needs an Affine problem, got {type(problem).__name__}: inherit Affine (terms, "
                "coefficients) and pass it, PODGalerkin(...).fit(snapshots, problem); without an equation take "
                "PODRegression"
            )
        if snapshots is not None and snapshots.space.size != problem.space.size:
            raise InputError(
                f"the snapshots have {snapshots.space.size} dofs, the problem {problem.space.size}; pass runs of it"
            )
        with threads(run.threads):
            terms = problem.terms()
            data = self._solutions(problem, seed) if snapshots is None else snapshots
            file = None if run.workdir is None else Path(run.workdir) / "pod.safetensors"
            method = "streaming" if self.method == "auto" and snapshots is None else self.method
            found = pod(
                data,
                modes=self.modes,
                tol=self.tol,
                inner=problem.space.inner("energy"),
                method=method,
                about=terms.lift,
                seed=seed,
                checkpoint=file if method in ("auto", "streaming") else None,
            )
            return _reduced(problem, terms, found)

    def _solutions(self, problem: Affine, seed: int) -> Iterator[Array]:
        """Full-order solutions in blocks, each made when it is asked for."""
        if isinstance(self.training, int):
            mu: Mapping[str, Array] = problem.parameters.sample(range(self.training), seed)
        else:
            mu = as_mu(self.training, problem.parameters.names)
        solver = Direct()
        state = solver.prepare(problem)
        for first in range(0, batch_size(mu), _BLOCK):
            yield problem.space.flatten(solver.solve(state, select(mu, slice(first, first + _BLOCK))).field)


def _reduced(problem: Affine, terms: AffineTerms, found: POD) -> ReducedBasis:
    """Galerkin's matrices and the residual's basis for the modes."""
    basis = _free(terms, found.modes)
    quantities = quantities_of(problem)
    functionals = stacked(quantities, len(terms.lift))
    residual = ResidualBuilder(terms, functionals, problem.space.inner("energy"), len(basis))
    # a mode is a small part of the snapshots, blown up: so is their rounding in it
    residual.add(basis, found.singular_values[: len(basis)] / found.singular_values[0])
    model = ReducedModel.empty(terms, quantities).extended(terms, functionals, basis)
    history = {"singular_values": found.singular_values, "lost": np.array(found.lost)}
    return ReducedBasis(problem, basis, model, residual.model(), history)


def _free(terms: AffineTerms, modes: Array) -> Real:
    """The modes, exactly zero where values are prescribed. Raises InputError where the snapshots had others there."""
    fixed = np.abs(modes[:, ~terms.free]).max(initial=0.0)
    if np.iscomplexobj(modes) or fixed > _EXACT * np.abs(modes).max(initial=0.0):
        raise InputError(
            "the snapshots differ from the values that the problem prescribes (or are complex); pass full-order "
            "solutions of this problem"
        )
    return np.ascontiguousarray(modes * terms.free)
