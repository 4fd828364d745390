"""The study file: every key is known, every value possible, before any work starts.

    seed: 0
    problem:   {kind: darcy, resolution: 64}
    snapshots: {train: 1000, calibrate: 100, test: 100}
    fit:       {kind: fno, modes: 16, width: 24}
    certify:   {level: 0.9}
    refine:    {rtol: 1e-4}

The keys of `problem` and `fit` beside `kind` are the constructor arguments of that problem or method.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from nwidth.core.errors import InputError
from nwidth.study.explain import complaints, unknown
from nwidth.study.options import Strict, options_of
from nwidth.study.yaml_file import override, parse, read


class SnapshotsSection(Strict):
    """How many full-order solutions: to fit, to calibrate a statistical limit, to check the result. All disjoint."""

    train: int = Field(default=0, ge=0, le=10_000_000)
    calibrate: int = Field(default=0, ge=0, le=10_000_000)
    test: int = Field(default=100, ge=1, le=10_000_000)


class CertifySection(Strict):
    """Which limit: the strongest that the problem allows, a guaranteed one, or one calibrated on unseen runs."""

    limit: Literal["auto", "guaranteed", "calibrated"] = "auto"
    level: float = Field(default=0.9, gt=0, lt=1)
    norm: Literal["max", "rms", "mass", "energy", "band"] | None = None


class RefineSection(Strict):
    """The relative tolerance to which every checked answer is taken."""

    rtol: float = Field(default=1e-4, gt=0, lt=1)


class ReportSection(Strict):
    """What the report says at its top, and for how many future queries it judges whether a surrogate pays."""

    title: str = Field(default="", max_length=200)
    queries: float = Field(default=1e6, ge=1)


class EvidenceSection(Strict):
    """What the page of evidence says about intended use: the author's own words."""

    use: str = Field(default="", max_length=2000)


class RunSection(Strict):
    """What does not change the results: where results lie, worker processes, the device that trains."""

    workdir: Path | None = None
    workers: int = Field(default=1, ge=1, le=4096)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")


class StudyFile(Strict):
    """The file as a whole; `problem` and `fit` are checked against the class that their `kind` names."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    problem: dict[str, Any]
    snapshots: SnapshotsSection = SnapshotsSection()
    fit: dict[str, Any]
    certify: CertifySection = CertifySection()
    refine: RefineSection | None = None
    report: ReportSection = ReportSection()
    evidence: EvidenceSection = EvidenceSection()
    run: RunSection = RunSection()


@dataclass(frozen=True)
class Part:
    """A problem or a method: its kind, its options with all defaults written out, and the object itself."""

    kind: str
    options: Mapping[str, Any]
    instance: Any

    @property
    def inputs(self) -> dict[str, Any]:
        """What a key is made of."""
        return {"kind": self.kind, **self.options}


@dataclass(frozen=True)
class Choices:
    """What the `kind` keys may say: name -> a function that returns the class (it may need an optional package).

    `kinds` are the caller's own classes, which files of this study may hold.
    """

    problems: Mapping[str, Callable[[], Callable[..., Any]]]
    methods: Mapping[str, Callable[[], Callable[..., Any]]]
    kinds: tuple[type, ...] = ()


@dataclass(frozen=True)
class Study:
    """A checked study."""

    name: str
    workdir: Path
    seed: int
    problem: Part
    method: Part
    file: StudyFile
    kinds: tuple[type, ...] = ()


def load_study(path: Path, choices: Choices, overrides: Sequence[str] = (), seed: int | None = None) -> Study:
    """The study in a YAML file, with `key.subkey=value` texts laid over it.

    Raises InputError that lists everything wrong at once: unknown keys with what is allowed, impossible values,
    a combination that cannot work.
    """
    content = override(read(path), overrides)
    if seed is not None:
        content["seed"] = seed
    return check_study(content, choices, path)


def study_from_text(text: str, choices: Choices, path: Path) -> Study:
    """The study in a text; `path` is where it would lie (its name, and where results go)."""
    return check_study(parse(text, str(path)), choices, path)


def check_study(content: Mapping[str, Any], choices: Choices, path: Path) -> Study:
    """A mapping as a checked study. Raises InputError that lists everything wrong at once."""
    wrong: list[str] = []
    file = _check_file(content, wrong)
    problem = _check_part("problem", content.get("problem"), choices.problems, wrong)
    method = _check_part("fit", content.get("fit"), choices.methods, wrong)
    if wrong or file is None or problem is None or method is None:
        raise InputError(f"{path}:\n" + "\n".join(f"  - {line}" for line in wrong))
    workdir = file.run.workdir or Path(f"{path.stem}-results")
    return Study(path.stem, path.parent / workdir, file.seed, problem, method, file, choices.kinds)


def problem_part(content: Mapping[str, Any], choices: Choices, path: Path) -> Part:
    """The section `problem` alone. Raises InputError that lists everything wrong with it."""
    wrong: list[str] = []
    found = _check_part("problem", content.get("problem"), choices.problems, wrong)
    if found is None:
        wrong = wrong or ["problem: missing; add a section such as problem: {kind: darcy, resolution: 64}"]
        raise InputError(f"{path}:\n" + "\n".join(f"  - {line}" for line in wrong))
    return found


def _check_file(content: Mapping[str, Any], wrong: list[str]) -> StudyFile | None:
    try:
        return StudyFile.model_validate(content)
    except ValidationError as error:
        wrong += complaints(error, StudyFile)
        return None


def _check_part(
    section: str, content: Any, known: Mapping[str, Callable[[], Callable[..., Any]]], wrong: list[str]
) -> Part | None:
    """The section's object, built: an impossible value is found by its own class, before any work."""
    if not isinstance(content, Mapping):
        return None  # already in the list
    options = dict(content)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in known:
        wrong.append(f"{section}.kind: {_which(kind, list(known))}")
        return None
    try:
        target = known[kind]()
        model = options_of(target)
        values = model.model_validate(options)
        return Part(kind, values.model_dump(mode="json"), target(**dict(values)))
    except ValidationError as error:
        wrong += complaints(error, model, (section,))
    except InputError as error:
        wrong.append(f"{section}: {error}")
    return None


def _which(kind: Any, known: list[str]) -> str:
    return f"missing; choose one of {', '.join(known)}" if kind is None else unknown(str(kind), known)
