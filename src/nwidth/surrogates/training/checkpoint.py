"""The state of training in one file, complete or absent: safetensors with a JSON header, nothing that could run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.io.atomic import write_atomically
from nwidth.surrogates.training.history import History

NAME = "training.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next epoch depends on: the module now and at its best, AdamW's moments, the history."""

    module: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    history: History


def write(folder: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Replace the folder's checkpoint. Raises WorkError where writing fails."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part, values in (("module", checkpoint.module), ("best", checkpoint.best), ("moments", checkpoint.moments))
        for name, value in values.items()
    }
    header = {"identity": identity, "history": json.dumps(asdict(checkpoint.history))}
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
        history = History.from_config(json.loads(header["history"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to start training again") from error
    if header.get("identity") != identity:
        raise InputError(
            f"{path} belongs to a training with other settings, data or seed; choose another work directory, or delete "
            "the file to start again"
        )
    parts = {part: _part(tensors, part) for part in ("module", "best", "moments")}
    return Checkpoint(parts["module"], parts["best"], parts["moments"], history)


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}


def moments_of(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state as named tensors: 'parameter|entry'."""
    return {
        f"{name}|{entry}": torch.as_tensor(value)
        for name, parameter in module.named_parameters()
        for entry, value in optimiser.state.get(parameter, {}).items()
    }


def restore_moments(optimiser: torch.optim.Optimizer, module: nn.Module, moments: Mapping[str, Tensor]) -> None:
    """Put the optimiser's state back."""
    parameters = dict(module.named_parameters())
    for key, value in moments.items():
        name, _, entry = key.rpartition("|")
        device = "cpu" if entry == "step" and parameters[name].device.type == "cpu" else parameters[name].device
        optimiser.state[parameters[name]][entry] = value.to(device)


def digest(*parts: object) -> str:
    """A hash of settings (by their text) and tensors (by their bytes)."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.detach().cpu().contiguous().numpy().tobytes() if isinstance(part, Tensor) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()
