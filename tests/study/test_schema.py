"""A study is refused, with everything that is wrong in it, before any work starts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from nwidth.core.errors import InputError
from nwidth.study.schema import Choices, Study, load_study, study_from_text


@dataclass(frozen=True)
class Plate:
    """A stand-in for a problem: options, one of which YAML cannot express."""

    resolution: int = 8
    values: tuple[float, float] = (3.0, 12.0)
    shape: Literal["square", "round"] = "square"
    source: Callable[[float], float] | None = None

    def __post_init__(self) -> None:
        if self.resolution < 2:
            raise InputError(f"resolution is {self.resolution}; choose at least 2")


@dataclass(frozen=True)
class Training:
    """A section of its own, inside of the options."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    epochs: int = 5

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError(f"epochs is {self.epochs}; choose 0 or more")


@dataclass(frozen=True)
class Network:
    """A stand-in for a method with a required option."""

    modes: int
    learning_rate: float = 1e-3
    training: Training = field(default_factory=Training)


CHOICES = Choices({"plate": lambda: Plate}, {"network": lambda: Network})
GOOD = """
seed: 3
problem: {kind: plate, resolution: 16}
snapshots: {train: 100, test: 20}
fit: {kind: network, modes: 4, learning_rate: 2e-3}
"""


def study(text: str) -> Study:
    return study_from_text(text, CHOICES, Path("here/plate.yaml"))


def complaint(text: str) -> str:
    with pytest.raises(InputError) as caught:
        study(text)
    return str(caught.value)


def test_good_study_is_built():
    built = study(GOOD)
    assert built.problem.instance == Plate(resolution=16)
    assert built.method.inputs["training"] == {"epochs": 5}
    assert built.method.instance == Network(4, 2e-3)  # 2e-3 is text in YAML 1.1, and a number to us
    assert (built.seed, built.file.snapshots.train, built.file.snapshots.calibrate) == (3, 100, 0)
    assert (built.name, built.workdir) == ("plate", Path("here/plate-results"))


def test_nested_section_is_built():
    built = study(GOOD.replace("modes: 4", "modes: 4, training: {epochs: 9}"))
    assert built.method.instance.training == Training(9)
    assert built.method.inputs["training"] == {"epochs": 9}


def test_inputs_of_a_key_write_out_the_defaults():
    assert study(GOOD).problem.inputs == {
        "kind": "plate", "resolution": 16, "values": [3.0, 12.0], "shape": "square",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("modes: 4", "mode: 4"), ["fit:", "'mode' is not known", "learning_rate, training", "mean 'modes'"]),
        (("modes: 4", "modes: many"), ["fit.modes = 'many'", "valid integer"]),
        (("modes: 4, ", ""), ["fit.modes: missing"]),
        (("kind: network", "kind: netwrk"), ["fit.kind: 'netwrk'", "Allowed: network", "did you mean 'network'"]),
        (("kind: network, ", ""), ["fit.kind: missing; choose one of network"]),
        (("kind: network", "kind: [1]"), ["fit.kind: '[1]'"]),
        (("modes: 4", "modes: 4, training: {epoch: 3}"), ["fit.training: 'epoch'", "Allowed: epochs", "mean 'epochs'"]),
        (("modes: 4", "modes: 4, training: {epochs: -3}"), ["fit.training", "epochs is -3; choose 0 or more"]),
        (("train: 100", "train: -1"), ["snapshots.train = -1", "greater than or equal to 0"]),
        (("train: 100", "trian: 1"), ["snapshots:", "'trian'", "train, calibrate, test", "did you mean 'train'"]),
        (("train: 100", "train: .nan"), ["snapshots.train = nan"]),
        (("resolution: 16", "resolution: 1"), ["problem: resolution is 1; choose at least 2"]),
        (("resolution: 16", "shape: oval"), ["problem.shape = 'oval'", "'square' or 'round'"]),
        (("resolution: 16", "source: x"), ["'source' is not known", "resolution, values, shape"]),
        (("seed: 3", "sed: 3"), ["'sed' is not known", "did you mean 'seed'"]),
        (("seed: 3", "seed: 3\nseed: 4"), ["'seed' stands twice"]),
        (("seed: 3", "certify: {level: 1.5}"), ["certify.level = 1.5", "less than 1"]),
        (("seed: 3", "refine: {rtol: 0}"), ["refine.rtol = 0", "greater than 0"]),
        (("seed: 3", "run: {device: gpu}"), ["run.device = 'gpu'"]),
        (("problem: {kind: plate, resolution: 16}", ""), ["problem: missing"]),
        (("problem: {kind: plate, resolution: 16}", "problem: plate"), ["problem = 'plate'", "dictionary"]),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(change, words):
    message = complaint(GOOD.replace(*change))
    assert [word for word in words if word not in message] == []


def test_everything_wrong_is_listed_at_once():
    message = complaint(GOOD.replace("modes", "mods").replace("resolution", "res").replace("train", "tran"))
    assert message.count("\n  - ") == 4  # mods unknown, modes missing, res unknown, tran unknown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds nothing"),
        ("- 1\n- 2", "holds a list"),
        ("a: [1", "not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not YAML"),
    ],
)
def test_a_file_that_is_no_study(text, words):
    assert words in complaint(text)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "plate.yaml"
    path.write_text(GOOD)
    return path


def test_overrides_replace_and_add(file):
    built = load_study(
        file, CHOICES, ["fit.modes=7", "problem.values=[1, 2]", "refine.rtol=1e-3", "run.workdir=elsewhere"]
    )
    assert built.method.instance.modes == 7
    assert built.problem.instance.values == (1.0, 2.0)
    assert built.file.refine is not None
    assert built.file.refine.rtol == 1e-3
    assert built.workdir == file.parent / "elsewhere"


def test_seed_of_the_command_line_wins(file):
    assert load_study(file, CHOICES, ["seed=1"], seed=9).seed == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fit.modes", "form key=value"),
        ("=3", "form key=value"),
        ("seed.x=3", "'seed' holds the value 3, not a section"),
        ("fit.mods=3", "did you mean 'modes'"),
        ("seed=[", "not YAML"),
    ],
)
def test_wrong_overrides(file, text, words):
    with pytest.raises(InputError, match=None) as caught:
        load_study(file, CHOICES, [text])
    assert words in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_study(tmp_path / "none.yaml", CHOICES)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not text"):
        load_study(tmp_path / "binary.yaml", CHOICES)
