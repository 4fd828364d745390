"""Questions from a file to a saved surrogate, and its answers as a table or as arrays."""

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous, Statistical, counted
from nwidth.core.prediction import Output, Prediction, Source, uncertified
from nwidth.core.validation import batch_size
from nwidth.io.atomic import write_atomically
from nwidth.io.detect import detect
from nwidth.io.model import load
from nwidth.io.readers.base import read_arrays
from nwidth.io.readers.table import read_table
from nwidth.online.certify import certify
from nwidth.online.join import with_smaller_limits
from nwidth.online.refine import refine
from nwidth.online.wrappers import Certified, Refining
from nwidth.problems.base import Outputs, Problem, is_coercive
from nwidth.reports.words import at_most
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box
from nwidth.spaces.trajectories import Trajectories
from nwidth.spaces.typical import TypicalFields
from nwidth.study.explain import unknown
from nwidth.surrogates.base import Surrogate

#: Questions from which on it pays to measure what each way to an answer costs on this machine.
_MANY = 400


@dataclass(frozen=True)
class Answers:
    """A prediction with, row by row, what there is to know about it; for outputs with a threshold also 'below',
    'above' or 'undecided'.
    """

    prediction: Prediction
    thresholds: Mapping[str, float] = field(default_factory=dict)
    outside: tuple[str, ...] = ()

    @property
    def verdicts(self) -> dict[str, Array]:
        """Output -> 'below', 'above' or 'undecided' for every row; in time 'below' means at all times."""
        return {name: _against(self.prediction.outputs[name], value) for name, value in self.thresholds.items()}

    @property
    def levels(self) -> tuple[str, ...]:
        """What the values of an output in time belong to: 't = 0.5', or 'step 3' where the times are not known."""
        outputs, space = self.prediction.outputs.values(), self.prediction.space
        count = max((o.values.shape[1] for o in outputs if o.values.ndim > 1), default=0)
        if isinstance(space, Trajectories) and len(space.times) == count:
            return tuple(f"t = {time:.10g}" for time in space.times)
        return tuple(f"step {k + 1}" for k in range(count))

    @property
    def notes(self) -> list[str]:
        """What is outside of the range, why there is no limit, and which rows did not come from the surrogate."""
        p = self.prediction
        reasons = [""] * len(p) if p.reason is None else [str(reason) for reason in p.reason]
        outside = self.outside or [""] * len(p)
        sources = ["" if source == Source.SURROGATE else str(source) for source in p.source]
        met = p.stats.get("met", np.ones(len(p), dtype=bool))
        late = ["" if ok else "the deadline came before the tolerance" for ok in met]
        known = ["" if o and not inside else r for o, inside, r in zip(outside, p.inside, reasons, strict=True)]
        return ["; ".join(filter(None, row)) for row in zip(sources, outside, known, late, strict=True)]

    @property
    def columns(self) -> dict[str, Array]:
        """Heading -> value for each row: parameters, outputs with their limits, verdicts, and what to know."""
        p, verdicts = self.prediction, self.verdicts
        table: dict[str, Array] = {name: values for name, values in p.mu.items() if values.ndim == 1}
        for name, output in p.outputs.items():
            for title, values, limit in self._in_time(name, output):
                table[heading(title, output.unit)] = values
                table[heading(f"{title} at most off by", difference_unit(output.unit))] = limit
            if name in verdicts:
                table[f"{name} against {self.thresholds[name]:g}"] = verdicts[name]
        if not p.outputs:
            table[f"field at most off by ({p.guarantee.norm})"] = p.bound
            if p.lower is not None:
                table[f"field at least off by ({p.guarantee.norm})"] = p.lower
        inside = np.where(p.inside, "yes", "no")
        return table | {"inside the range": inside, "note": np.array(self.notes, dtype=object)}

    def _in_time(self, name: str, output: Output) -> Iterator[tuple[str, Array, Array]]:
        """A column of numbers for the output, or for each of its times: title, values, limits."""
        if output.values.ndim == 1:
            yield name, output.values, output.limit
            return
        limit = np.broadcast_to(output.limit, output.values.shape)
        for k, level in enumerate(self.levels):
            yield f"{name} at {level}", output.values[:, k], limit[:, k]

    @property
    def mix(self) -> dict[str, int]:
        """How many answers came from where: surrogate, refined, full order."""
        names, counts = np.unique(self.prediction.source, return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    @property
    def promise(self) -> tuple[str, ...]:
        """What the limits promise, in words for people who sign."""
        return promise(self.prediction)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: one entry per question."""
        p, notes = self.prediction, self.notes
        rows = [self._row(i) | {"note": notes[i]} for i in range(len(p))]
        guarantee = _guarantee(p.guarantee)
        return {"promise": self.promise, "guarantee": guarantee, "sources": self.mix, "rows": rows}

    def _row(self, i: int) -> dict[str, Any]:
        p, verdicts = self.prediction, self.verdicts
        outputs = {
            name: {"value": o.values[i], "limit": o.limit[i], "unit": o.unit}
            | ({"verdict": str(verdicts[name][i])} if name in verdicts else {})
            for name, o in p.outputs.items()
        }
        mu = {name: values[i] for name, values in p.mu.items() if values.ndim == 1}
        known = {"inside": bool(p.inside[i]), "source": str(p.source[i])}
        lower = {} if p.lower is None else {"lower": p.lower[i]}
        return {"mu": mu, "outputs": outputs, "bound": p.bound[i], **known, **lower}

    def save(self, path: Path) -> Path:
        """CSV, one row per question; or, for a name that ends in .npz, all arrays with the fields."""
        check_output(path)
        if path.suffix.lower() == ".npz":
            return write_atomically(
                path, lambda stream: np.savez_compressed(stream, allow_pickle=False, **self._arrays())
            )
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.columns)
        writer.writerows(zip(*self.columns.values(), strict=True))
        return write_atomically(path, lambda stream: stream.write(text.getvalue().encode()))

    def _arrays(self) -> dict[str, Array]:
        p = self.prediction
        arrays = {"field": p.field, "bound": p.bound, "inside": p.inside}
        arrays |= {} if p.lower is None else {"lower": p.lower}
        arrays |= {f"mu/{name}": values for name, values in p.mu.items()}
        for name, output in p.outputs.items():
            arrays |= {f"outputs/{name}": output.values, f"limits/{name}": output.limit}
        return arrays


def check_output(path: Path) -> None:
    """Raises InputError for a place that answers cannot be written to: before the work, so that none is lost."""
    if path.suffix.lower() not in (".csv", ".npz"):
        raise InputError(f"answers are written as .csv (values) or .npz (values and fields), not {path.name!r}")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} of {path.name} does not exist; create it first")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")


def ask(
    model: str | Path,
    questions: str | Path,
    *,
    thresholds: Mapping[str, float] | None = None,
    rtol: float | None = None,
    tol: float | None = None,
    deadline: float | None = None,
    problem: Problem | None = None,
    kinds: Sequence[type] = (),
) -> Answers:
    """The answers of a saved surrogate to the rows of a table (CSV), or to arrays (NPZ) for parameters that are fields.

    `thresholds`: output -> value, each row then is below, above or undecided. With `rtol`, every answer is refined to
    this guaranteed relative tolerance, or as far as `deadline` (seconds) allows; with `tol`, only those answers go to
    the solver whose limit misses it. Both need a model that holds its equation, or `problem`. Raises InputError for a
    file that holds no surrogate, a missing or unknown column, a number that is not finite.
    """
    surrogate = load(model, kinds)
    if not isinstance(surrogate, Surrogate):
        raise InputError(f"{model} holds a {surrogate.kind!r}, which answers no questions; give a surrogate")
    if deadline is not None and rtol is None:
        raise InputError("a deadline ends a refinement: give rtol as well")
    mu = _read_questions(Path(questions), surrogate.parameters)
    _check_thresholds(surrogate, problem, thresholds or {})
    if tol is not None:
        refining = _within(surrogate, problem, problem or _equation(surrogate, model), tol)
        many = batch_size(mu) >= _MANY and is_coercive(refining.problem)
        prediction = (refining.measured() if many else refining).predict(mu)
    else:
        prediction = surrogate.predict(mu)
    if rtol is not None:
        # limits that were given for the model's own equation say nothing of another
        start = prediction if problem is None else _bare(prediction)
        refined = refine(start, problem or _equation(surrogate, model), rtol, **_until(deadline))
        prediction = refined if problem is not None else with_smaller_limits(prediction, refined)
    _check_names(thresholds or {}, prediction.outputs)
    return Answers(prediction, thresholds or {}, _outside(surrogate.parameters, prediction))


def _until(deadline: float | None) -> dict[str, Any]:
    return {} if deadline is None else {"deadline": deadline}


def _within(surrogate: Surrogate, given: Problem | None, problem: Problem, tol: float) -> Refining:
    """The surrogate as one that meets a tolerance. It is certified where it has no limits, and again where an equation
    is given: limits that were proven for another one say nothing of it."""
    found = surrogate.certified if isinstance(surrogate, Refining) else surrogate
    if not isinstance(found, Certified):
        return Refining(certified_for(found, problem), problem, tol)
    calibrated = isinstance(found.guarantee, Statistical) and not is_coercive(problem)
    kept = given is None or calibrated
    return Refining(found if kept else certified_for(found.surrogate, problem), problem, tol)


def certified_for(surrogate: Surrogate, problem: Problem) -> Certified:
    """The surrogate with limits for this equation; its fields are bounded where its basis belongs to another one."""
    try:
        return certify(surrogate, problem)
    except InputError:
        if not is_coercive(problem):
            raise
        return Certified(surrogate, ResidualCertificate(problem))


def _bare(prediction: Prediction) -> Prediction:
    """The answers without their limits and outputs."""
    plain = uncertified(prediction.mu, prediction.values, prediction.space, prediction.inside)
    return replace(plain, source=prediction.source)


def _check_thresholds(surrogate: Surrogate, problem: Problem | None, thresholds: Mapping[str, float]) -> None:
    """Names of outputs that neither the surrogate nor an equation has, before any work."""
    if not thresholds:
        return
    equation = problem or equation_of(surrogate)
    named = dict(surrogate.predict(surrogate.parameters.sample([0], 0)).outputs)
    _check_names(thresholds, named | (dict(equation.quantities()) if isinstance(equation, Outputs) else {}))


def _check_names(thresholds: Mapping[str, float], outputs: Mapping[str, Any]) -> None:
    for name in thresholds:
        if name not in outputs:
            raise InputError(f"threshold: output {unknown(name, list(outputs))}")


def _against(output: Output, threshold: float) -> Array:
    """One verdict for each row `(B,)`: in time 'above' where it is at any time, 'below' where it is at all."""
    found = output.against(threshold)
    if found.ndim == 1:
        return found
    some, every = (found == "above").any(axis=1), (found == "below").all(axis=1)
    return np.where(some, "above", np.where(every, "below", "undecided"))


def promise(prediction: Prediction) -> tuple[str, ...]:
    """One sentence for each output (or for the field), then what is counted."""
    match prediction.guarantee:
        case Rigorous(covers=covers):
            ending, last = (
                "from your full-order result. Guaranteed.",
                f"Counted: {counted(covers)}. Not counted: {'data' if 'discretisation' in covers else 'mesh, data'}.",
            )
        case Statistical(level=level):
            ending = f"in {level:.0%} of the cases that are drawn like your runs."
            last = "Not for optimised designs or feedback, and not outside the range of the runs."
        case Estimate(missing=missing):
            return (f"Indication only. Missing: {missing}.",)
    lines = [f"{name}: at most {limit} {ending}" for name, limit in _largest_limits(prediction)]
    return (*lines, last)


def _largest_limits(prediction: Prediction) -> list[tuple[str, str]]:
    outputs = prediction.outputs.items()
    limits = [(name, o.limit, difference_unit(o.unit)) for name, o in outputs]
    limits = limits or [("Field", prediction.bound, f"({prediction.guarantee.norm})")]
    finite = [(name, values[np.isfinite(values)], unit) for name, values, unit in limits]
    return [(name, at_most(float(values.max()), unit)) for name, values, unit in finite if len(values)]


def difference_unit(unit: str) -> str:
    """The unit of a difference: two temperatures in °C differ by kelvins."""
    return "K" if unit == "°C" else unit


def heading(name: str, unit: str) -> str:
    """A name with its unit in brackets."""
    return f"{name} [{unit}]" if unit else name


def _guarantee(guarantee: Guarantee) -> dict[str, Any]:
    return {"kind": type(guarantee).__name__.lower(), **vars(guarantee)}


def _read_questions(path: Path, space: ParameterSpace) -> Mu:
    if detect(path) == "npz":
        return {name: np.asarray(values) for name, values in read_arrays(path).arrays.items() if name in space.names}
    table = read_table(path)
    missing = [name for name in space.names if name not in table.numbers]
    if missing:
        raise InputError(_missing(path, missing, table.columns, space))
    mu = {name: table.numbers[name] for name in space.names}
    for name, values in mu.items():
        _check_numbers(path, name, values, table.lines)
    return mu


def _missing(path: Path, missing: Sequence[str], columns: Sequence[str], space: ParameterSpace) -> str:
    sample = space.sample([0], 0)
    fields = [name for name in missing if np.ndim(sample[name]) > 1]
    if fields:
        shape = " x ".join(map(str, np.shape(sample[fields[0]])[1:]))
        return (
            f"the parameter {fields[0]!r} of this model is a field of {shape} values: give it as an NPZ file with an "
            f"array {fields[0]!r}, questions first"
        )
    close = difflib.get_close_matches(missing[0], columns, n=1)
    hint = f"; is it {close[0]!r}?" if close else ""
    return f"{path} has no column {missing[0]!r}, a parameter of this model. Its columns: {', '.join(columns)}{hint}"


def _check_numbers(path: Path, name: str, values: Real, lines: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(f"{path}, line {lines[bad[0]]}: {name} is not a number; fill it in or remove the line")


def equation_of(surrogate: Surrogate) -> Problem | None:
    """The problem that a surrogate carries along, in itself or in its certificate; None where there is none."""
    if isinstance(surrogate, Refining):
        return surrogate.problem
    inner = surrogate.surrogate if isinstance(surrogate, Certified) else surrogate
    for holder in (surrogate.certificate, inner) if isinstance(surrogate, Certified) else (inner,):
        child = holder.to_parts().children.get("problem")
        if isinstance(child, Problem):
            return child
    return None


def _equation(surrogate: Surrogate, model: str | Path) -> Problem:
    """The surrogate's problem. Raises InputError where there is none."""
    found = equation_of(surrogate)
    if found is None:
        raise InputError(
            f"{model} holds no equation to refine with; give one: --problem STUDY.yaml, or in Python nw.refine(answer, "
            "problem, rtol=...)"
        )
    return found


def _outside(space: ParameterSpace, prediction: Prediction) -> tuple[str, ...]:
    """What is outside of the fitted range, row by row."""
    if isinstance(space, Box | TypicalFields):
        return tuple(space.describe(prediction.mu))
    return tuple("" if inside else "outside of the fitted range" for inside in prediction.inside)
