"""The state of training in one file, complete or absent: safetensors with a JSON header, nothing that could run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.io.atomic import write_atomically
from nwidth.surrogates.training.history import History
from nwidth.surrogates.training.trees import flattened, rebuilt

NAME = "training.safetensors"
_PARTS = ("module", "best", "average", "optimisers")


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next epoch depends on: the module now and at its best, the running mean of its parameters
    (empty without one), the states of its optimisers, how many steps they made, and the history."""

    module: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimisers: list[dict[str, Any]]
    steps: int
    history: History


def write(folder: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Replace the folder's checkpoint. Raises WorkError where writing fails."""
    folder.mkdir(parents=True, exist_ok=True)
    outline, tensors = flattened({part: getattr(checkpoint, part) for part in _PARTS})
    header = {
        "identity": identity,
        "outline": json.dumps(outline),
        "steps": str(checkpoint.steps),
        "history": json.dumps(asdict(checkpoint.history)),
    }
    data = safetensors.torch.save(tensors, metadata=header)
    write_atomically(folder / NAME, lambda stream: stream.write(data))


def read(folder: Path, identity: str) -> Checkpoint | None:
    """The folder's checkpoint, or None where there is none.

    Raises InputError where it belongs to other settings, data or seed, or is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        parts = rebuilt(json.loads(header["outline"]), tensors)
        history = History.from_config(json.loads(header["history"]))
        found = Checkpoint(**parts, steps=int(header["steps"]), history=history)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to start training again") from error
    if header.get("identity") != identity:
        raise InputError(
            f"{path} belongs to a training with other settings, data or seed; choose another work directory, or delete "
            "the file to start again"
        )
    return found


def digest(*parts: object) -> str:
    """A hash of settings (by their text) and tensors (by their bytes)."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.detach().cpu().contiguous().numpy().tobytes() if isinstance(part, Tensor) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()
