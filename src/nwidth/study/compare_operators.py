"""`compare`: any fitters on the same runs and equal terms, neural operators, reduced bases and modules of one's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Storable
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Problem
from nwidth.reports.tables import Column, Table
from nwidth.reports.tables import Entry as Cell
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.mesh import MeshSpace
from nwidth.study.contest import Entry, Terms, enter, parameters_of
from nwidth.surrogates.base import Fitter, Run, Surrogate
from nwidth.surrogates.training import relative_h1, relative_lp
from nwidth.surrogates.training.encoding import grid_dimension
from nwidth.surrogates.training.quadrature import axes_of, measure_of

#: Relative errors of fields `(B, *shape)`, answers and truth, `(B,)`.
ErrorOf = Callable[[Array, Array], Real]

_BATCH, _ROUNDS = 32, 5
#: Parts of a stored surrogate that were not learned.
_GIVEN = frozenset({"parameters", "space", "problem"})


@dataclass(frozen=True)
class ComparisonRow:
    """One contestant: numbers per seed, then what does not depend on the seed.

    name        what the caller named it
    l2          mean relative L² error of the test runs, for every seed; empty for answers without a field
    second      the same in the second norm (`Comparison.second`), empty where there is none
    seconds     wall-clock time of training, for every seed; epochs completed, where there are epochs
    parameters  real numbers that were learned: of a network its weights and what it took from the data (POD modes), of
                any other surrogate all floating-point numbers of its file but those of the parameter set and the space
    outputs     name -> mean error of that named number over its standard deviation in the test runs, for every seed
    alone_ms, batch_ms   milliseconds per answer, the field included: a single query, and one of up to 32 together
    """

    name: str
    l2: tuple[float, ...]
    second: tuple[float, ...]
    seconds: tuple[float, ...]
    epochs: tuple[int, ...]
    parameters: int | None
    alone_ms: float
    batch_ms: float
    outputs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """Mean L² error over the seeds; NaN for answers without a field."""
        return float(np.mean(self.l2)) if self.l2 else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation of the L² error over the seeds (n - 1); 0 for one seed."""
        return float(np.std(self.l2, ddof=1)) if len(self.l2) > 1 else 0.0


@dataclass(frozen=True)
class Comparison:
    """Contestants on the same runs; `rows` are plain data, `table()` prints, and writes CSV and LaTeX.

    `second` names the norm beside L²: 'H1' on grids, 'energy' on meshes, '' where there is none. `terms` says in words
    what was equal. `surrogates` are those of the first seed.
    """

    rows: tuple[ComparisonRow, ...]
    second: str
    terms: str
    surrogates: Mapping[str, Surrogate] = field(default_factory=dict, compare=False, repr=False)

    def __getitem__(self, name: str) -> ComparisonRow:
        """The row of a contestant."""
        return next(row for row in self.rows if row.name == name)

    def table(self) -> Table:
        """Errors in percent (mean ± deviation over the seeds), sizes and times."""
        columns = [Column("L² error", "%", 3, "low")]
        columns += [Column(f"{self.second} error", "%", 3, "low")] if self.second else []
        names = dict.fromkeys(name for row in self.rows for name in row.outputs)
        columns += [Column(f"{name} error", "% of spread", 3, "low") for name in names]
        columns += [
            Column("parameters", digits=0),
            Column("training", "s", 3),
            Column("epochs", digits=0),
            Column("alone", "ms", 2, "low"),
            Column("in a batch", "ms", 2, "low"),
        ]
        return Table(self.terms, tuple(columns), {row.name: self._cells(row) for row in self.rows})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"terms": self.terms, "second": self.second, "rows": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        return self.table().text()

    def _cells(self, row: ComparisonRow) -> dict[str, Cell]:
        cells: dict[str, Cell] = {
            "L² error": _percent(row.l2),
            "parameters": row.parameters,
            "training": list(row.seconds),
            "epochs": float(np.mean(row.epochs)) if row.epochs else None,
            "alone": row.alone_ms,
            "in a batch": row.batch_ms,
        }
        cells |= {f"{name} error": _percent(values) for name, values in row.outputs.items()}
        return cells | ({f"{self.second} error": _percent(row.second)} if self.second else {})


def compare(
    fitters: Mapping[str, Fitter],
    snapshots: Snapshots,
    problem: Problem | None = None,
    *,
    test: Snapshots,
    budget: float | None = None,
    epochs: int | None = None,
    rates: Sequence[float] = (),
    seeds: Sequence[int] = (0, 1, 2),
    run: Run = Run(),
) -> Comparison:
    """Fit every fitter to the snapshots once for each seed and measure all of them on the runs of `test`.

    `budget`: wall-clock seconds of training for all that train by epochs (their schedules follow the clock); `epochs`:
    so many passes for all; neither: each as it is configured. `rates`: every one of these is tried for a few epochs
    on the first seed and the best by validation loss is kept, equally for all. A fitter without epochs
    (`nw.rb.PODRegression`) fits as it does; `nw.wrap(module)` takes part like any other. The test runs are seen by no
    fit. Errors are means over the test runs of each run's relative error.

    Raises InputError for `budget` and `epochs` together, an empty list, and test runs of another space.
    """
    _check(fitters, snapshots, test, budget, epochs, seeds)
    prepared = {name: _for_epochs(fitter, epochs) for name, fitter in fitters.items()}
    entries: dict[str, list[Entry]] = {name: [] for name in fitters}
    for seed in seeds:
        for name, fitter in prepared.items():
            known = None if rates and seed == seeds[0] else entries[name][0].trials if rates else {}
            terms = Terms(rates=tuple(rates) or (1e-3,), seed=seed, run=_own_folder(run, name, seed))
            entries[name].append(enter(name, fitter, snapshots, problem, terms, seconds=budget, trials=known))
    second, errors = _norms(snapshots.space)
    times = answer_times({name: several[0].surrogate for name, several in entries.items()}, test.mu)
    rows = [_row(name, several, test, errors, times[name]) for name, several in entries.items()]
    words = _words(len(snapshots.good), len(test.good), budget, epochs, rates, len(seeds))
    return Comparison(tuple(rows), second, words, {name: several[0].surrogate for name, several in entries.items()})


def answer_times(surrogates: Mapping[str, Surrogate], mu: Mu) -> dict[str, tuple[float, float]]:
    """Milliseconds per answer (alone, in a batch), the field included: the least of five rounds, all in turn."""
    many, one = select(mu, slice(_BATCH)), select(mu, slice(1))
    best = {name: [np.inf, np.inf] for name in surrogates}
    for _ in range(_ROUNDS):
        for name, surrogate in surrogates.items():
            for place, query in enumerate((one, many)):
                checked = as_mu(query, surrogate.parameters.names)
                begin = perf_counter()
                np.asarray(surrogate.predict(checked).field)
                took = 1e3 * (perf_counter() - begin) / batch_size(checked)
                best[name][place] = min(best[name][place], took)
    return {name: (alone, together) for name, (alone, together) in best.items()}


def learned_numbers(surrogate: Surrogate) -> int | None:
    """Real numbers that a surrogate has learned, see `ComparisonRow`; None where it cannot be stored to count them."""
    if isinstance(surrogate, NeuralSurrogate):
        network = surrogate.module.network
        taken = [b for name, b in network.named_buffers() if name in network.state_dict() and b.is_floating_point()]
        return (parameters_of(surrogate) or 0) + sum(b.numel() for b in taken)
    try:
        return _stored(surrogate)
    except InputError:
        return None


def _stored(part: Storable) -> int:
    _, arrays, children = part.to_parts()
    sizes = {"f": 1, "c": 2}
    own = sum(a.size * sizes.get(a.dtype.kind, 0) for a in arrays.values())
    return own + sum(_stored(child) for name, child in children.items() if name not in _GIVEN)


def _row(
    name: str, entries: Sequence[Entry], test: Snapshots, errors: Mapping[str, ErrorOf], times: tuple[float, float]
) -> ComparisonRow:
    runs = test.take(test.good)
    answers = [e.surrogate.predict(runs.mu) for e in entries]
    fields = [np.asarray(a.field) for a in answers if np.prod(a.space.shape)]
    measured = {norm: tuple(float(of(f, runs.fields).mean()) for f in fields) for norm, of in errors.items()}
    common = [name for name in answers[0].outputs if name in runs.outputs]
    return ComparisonRow(
        name=name,
        l2=measured.get("L²", ()),
        second=next((values for norm, values in measured.items() if norm != "L²"), ()),
        seconds=tuple(e.wall for e in entries),
        epochs=tuple(e.epochs for e in entries if e.epochs is not None),
        parameters=learned_numbers(entries[0].surrogate),
        alone_ms=times[0],
        batch_ms=times[1],
        outputs={n: tuple(_of_spread(a.outputs[n].values, runs.outputs[n]) for a in answers) for n in common},
    )


def _of_spread(values: Real, truth: Real) -> float:
    """Mean error of a named number over the standard deviation of the truth."""
    return float(np.mean(np.abs(values - truth)) / (np.std(truth) or 1.0))


def _percent(values: Sequence[float]) -> list[float] | None:
    return [100 * value for value in values] or None


def _norms(space: FunctionSpace) -> tuple[str, dict[str, ErrorOf]]:
    """The second norm's name ('' without one) and relative errors by norm."""
    dim = grid_dimension(space)
    if not space.size:
        return "", {}
    errors: dict[str, ErrorOf] = {"L²": _by_torch(relative_lp(2.0, measure_of(space)), space, dim)}
    if dim:
        return "H1", errors | {"H1": _by_torch(relative_h1(axes_of(space, dim)), space, dim)}
    if not isinstance(space, MeshSpace):
        return "", errors
    inner = space.inner("energy")

    def energy(answer: Array, truth: Array) -> Real:
        return inner.norm(space.flatten(answer - truth)) / inner.norm(space.flatten(truth))

    return "energy", errors | {"energy": energy}


def _by_torch(loss: Any, space: FunctionSpace, dim: int) -> ErrorOf:
    """A loss of training, in double precision."""

    def channels(values: Array) -> torch.Tensor:
        grid = space.shape[-dim:] if dim else space.shape[-1:]
        flat = values.reshape(len(values), -1, *grid)
        parts = np.concatenate([flat.real, flat.imag], axis=1) if np.iscomplexobj(flat) else flat
        return torch.from_numpy(np.ascontiguousarray(parts, dtype=np.float64))

    return lambda answer, truth: loss(channels(answer), channels(truth)).numpy()


def _for_epochs(fitter: Fitter, epochs: int | None) -> Fitter:
    """The fitter with another number of epochs, where it has any."""
    settings = getattr(fitter, "training", None)
    if epochs is None or settings is None:
        return fitter
    return replace(fitter, training=replace(settings, epochs=epochs))  # type: ignore[type-var]


def _own_folder(run: Run, name: str, seed: int) -> Run:
    """Checkpoints of every fit in a folder of its own."""
    return run if run.workdir is None else replace(run, workdir=run.workdir / f"{name}-{seed}")


def _check(
    fitters: Mapping[str, Fitter], snapshots: Snapshots, test: Snapshots, budget: Any, epochs: Any, seeds: Any
) -> None:
    if not fitters or not len(seeds):
        raise InputError(f"{len(fitters)} fitters and {len(seeds)} seeds; compare at least one with at least one")
    if budget is not None and epochs is not None:
        raise InputError("give budget= (seconds for each) or epochs= (passes for each), not both")
    if test.space.shape != snapshots.space.shape or not len(test.good):
        raise InputError(
            f"{len(test.good)} usable test runs with fields of shape {test.space.shape}; expected some of "
            f"{snapshots.space.shape}, as the runs to learn from"
        )


def _words(runs: int, tests: int, budget: Any, epochs: Any, rates: Sequence[float], seeds: int) -> str:
    equal = f"{budget:g} s of training each" if budget else f"{epochs} epochs each" if epochs else "each as configured"
    tried = f", the best of {len(rates)} learning rates" if rates else ""
    return f"{runs} runs, {tests} test runs, {equal}{tried}, {seeds} seed{'s' if seeds > 1 else ''}"
