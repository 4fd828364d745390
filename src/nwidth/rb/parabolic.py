"""A reduced basis for a parabolic problem: trajectories in a few modes, for a batch of parameters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Output, Prediction, Reduced, uncertified
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.parabolic import AffineEvolution, pieces
from nwidth.rb.parabolic_model import EvolutionModel, truncated
from nwidth.rb.threads import one_thread
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Surrogate

#: Numbers of reduced states that are held at a time.
_HELD = 1 << 19


@dataclass(frozen=True)
class TrajectorySpace:
    """What a prediction of trajectories needs of a space: fields `(T, *space.shape)` at `times`."""

    space: FunctionSpace
    times: Real

    @property
    def shape(self) -> tuple[int, ...]:
        """Times first."""
        return (len(self.times), *self.space.shape)


class Piece(NamedTuple):
    """The steps first + 1, ..., last of a march: coefficients θ, φ `(B, T, Q)`, the states before them `start (B, n)`,
    at their points and at their ends, `(B, T, n)`."""

    first: int
    last: int
    theta: Real
    phi: Real
    start: Real
    points: Real
    levels: Real

    @property
    def before(self) -> Real:
        """The states before each step, `(B, T, n)`."""
        return np.concatenate([self.start[:, None], self.levels[:, :-1]], axis=1)


@dataclass(frozen=True, eq=False)
class ReducedEvolution(Surrogate):
    """`u_N(t_k; mu) = lift + Σ_j c_j^k v_j` at the problem's own time levels; cost independent of the full size.

    basis `(n, N)` is orthonormal in the energy product and ordered. A step costs a product with an n x n matrix while
    the coefficients stay as they are, and a factorisation where they change. Fields in a prediction are the stored
    levels, `(B, T, *shape)`; outputs `(B, T)` belong to the points of the steps that end there (`Stepping`).

    References: Haasdonk and Ohlberger, ESAIM: M2AN 42 (2008) 277; Grepl and Patera, ESAIM: M2AN 39 (2005) 157.
    """

    kind: ClassVar[str] = "reduced-evolution"

    problem: AffineEvolution
    basis: Real
    model: EvolutionModel
    history: Mapping[str, Array] = field(default_factory=dict)

    @property
    def parameters(self) -> ParameterSpace:
        """The parameters of the problem that was reduced."""
        return self.problem.parameters

    @property
    def space(self) -> FunctionSpace:
        """The full-order space of one time level."""
        return self.problem.space

    @property
    def modes(self) -> int:
        """n."""
        return len(self.basis)

    def predict(self, mu: Mu | Array) -> Prediction:
        """Trajectories and outputs of a batch, without limits: attach them with an `EvolutionCertificate`."""
        mu = as_mu(mu, self.parameters.names)
        levels, outputs = [], []
        for piece in self.stream(mu):
            here = self.problem.stepping.stored(piece.first, piece.last)
            levels.append(piece.levels[:, here])
            outputs.append(self.output_values(piece.points[:, here]))
        return self.answer(mu, np.concatenate(levels, axis=1), np.concatenate(outputs, axis=1))

    def stream(self, mu: Mu) -> Iterator[Piece]:
        """The march in pieces of a few hundred steps: memory that does not grow with their number."""
        model, stepping = self.model, self.problem.stepping
        state = self.start(mu)
        size = max(16, min(1024, _HELD // max(1, state.size)))
        for first, last, theta, phi in pieces(self.problem, mu, size):
            with one_thread():
                points, levels = model.march(theta, phi, state, stepping)
            yield Piece(first, last, theta, phi, state, points, levels)
            state = np.ascontiguousarray(levels[:, -1])

    def start(self, mu: Mu) -> Real:
        """The initial coefficients `(B, n)`."""
        return np.ascontiguousarray(self.problem.starts(mu)[0] @ self.model.starts)

    def output_values(self, points: Real) -> Real:
        """Outputs `(B, T, s)` of states `(B, T, n)`."""
        return points @ self.model.reduced.functionals.T + self.model.reduced.offsets

    def answer(self, mu: Mu, levels: Real, outputs: Real, limits: Real | None = None) -> Prediction:
        """A prediction of stored levels `(B, T, n)` and outputs `(B, T, s)`, with limits of the same shape."""
        limits = np.full(outputs.shape, np.inf) if limits is None else limits
        named = {
            name: Output(outputs[:, :, i], limits[:, :, i], unit)
            for i, (name, unit) in enumerate(self.model.reduced.outputs)
        }
        values = Reduced(levels, self.basis, self.problem.terms().lift)
        space = TrajectorySpace(self.space, self.problem.times)
        return uncertified(mu, values, space, self.parameters.contains(mu), named)

    def truncate(self, modes: int) -> "ReducedEvolution":
        """The basis of the first `modes` modes. Raises InputError for more than there are."""
        if not 1 <= modes <= self.modes:
            raise InputError(f"cannot keep {modes} of {self.modes} modes; choose a number from 1 to {self.modes}")
        basis = self.basis[:modes]
        return replace(self, basis=basis, model=truncated(self.model, self.problem, basis))

    def moved_to(self, problem: AffineEvolution) -> "ReducedEvolution":
        """The same basis for a problem that differs in its steps, its stored times and its inputs in time alone.

        Raises InputError where matrices, loads, mass, outputs or initial states are others.
        """
        old, new = _numbers(self.problem), _numbers(problem)
        changed = [name for name in old if not np.array_equal(old[name], new[name])]
        if changed:
            raise InputError(f"{', '.join(changed)} of the new problem differ from those that were reduced; fit again")
        return replace(self, problem=problem)

    def to_parts(self) -> Parts:
        """Basis and model; the problem as a child. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(
                f"{type(self.problem).__name__} cannot be stored with its reduced basis: inherit nwidth's Storable "
                "(kind, to_parts, from_parts) and pass the class to nw.load(path, kinds=[...])"
            )
        config, arrays = self.model.to_stored()
        history = {f"history.{name}": np.asarray(values) for name, values in self.history.items()}
        return Parts(config, {"basis": self.basis, **arrays, **history}, {"problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        history = {name.partition(".")[2]: a for name, a in arrays.items() if name.startswith("history.")}
        return cls(children["problem"], arrays["basis"], EvolutionModel.from_stored(config, arrays), history)


def _numbers(problem: AffineEvolution) -> dict[str, Array]:
    """What the reduced model was made from."""
    terms, one = problem.terms(), problem.parameters.sample(range(1), 0)
    quantities = problem.quantities().values()
    probe = np.cos(1.0 + 0.7 * np.arange(problem.space.size) ** 1.1)[None]
    return {
        "matrices": np.concatenate([entries(m) for m in terms.matrices]),
        "mass": entries(problem.mass().matrix),
        "loads": terms.loads,
        "free dofs": terms.free,
        "lift": terms.lift,
        "energy product": problem.space.inner("energy").apply(probe),
        "outputs": np.array([np.append(q.functional, q.offset) for q in quantities]),
        "initial states": problem.starts(one)[1],
    }


def entries(matrix: sp.csr_array) -> Array:
    """Places and values of a sparse matrix in one array."""
    return np.concatenate([matrix.indptr, matrix.indices, matrix.data])


def check_batch(surrogate: ReducedEvolution, prediction: Prediction) -> dict[str, Array]:
    """The parameters of a prediction by this surrogate. Raises InputError for one of another kind or basis."""
    values = prediction.values
    if not isinstance(values, Reduced) or values.coefficients.ndim != 3 or values.basis.shape != surrogate.basis.shape:
        raise InputError("this certificate bounds trajectories of its own reduced basis; predict with that surrogate")
    mu = as_mu(prediction.mu, surrogate.parameters.names)
    if batch_size(mu) != len(values.coefficients):
        raise InputError(f"{len(values.coefficients)} trajectories for {batch_size(mu)} parameters; give one each")
    return mu
