"""The state of a streaming POD in one file, complete or absent; nothing in it could run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from nwidth.core.errors import InputError
from nwidth.io.arrays import decode, encode
from nwidth.io.atomic import write_atomically
from nwidth.rb.streaming import State

_NUMBERS = ("count", "total", "dropped", "rest", "rounding", "end", "steps")
_ARRAYS = ("modes", "sigma", "mean")


@dataclass
class Checkpoint:
    """A file that is replaced as a whole, at most once in `seconds`; `identity` says what it belongs to."""

    path: Path
    identity: Mapping[str, Any]
    seconds: float = 30.0
    _last: float = field(default_factory=monotonic)

    def offer(self, state: State) -> None:
        """Written, if the last time is long enough ago. Raises WorkError where writing fails."""
        if monotonic() - self._last >= self.seconds:
            self.write(state)

    def write(self, state: State) -> None:
        """Replace the file. Raises WorkError where writing fails."""
        data, paired = encode({name: getattr(state, name) for name in _ARRAYS}, "a streaming POD")
        numbers = {name: getattr(state, name) for name in _NUMBERS}
        header = {"numbers": numbers, "complex": paired, "identity": dict(self.identity)}
        tensors = safetensors.numpy.load(data)
        whole = safetensors.numpy.save(tensors, metadata={"state": json.dumps(header)})
        write_atomically(self.path, lambda stream: stream.write(whole))
        self._last = monotonic()

    def read(self) -> State | None:
        """The state, or None where there is no file.

        Raises InputError where it is damaged, or belongs to other data or settings.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="np") as file:
                header = json.loads(file.metadata()["state"])
            arrays = decode(self.path.read_bytes(), header["complex"])
            # row by row, as NumPy makes arrays: the same sums, bit by bit, as without the interruption
            modes, sigma, mean = (np.array(arrays[name], order="C") for name in _ARRAYS)
            state = State(modes, sigma, mean, *(header["numbers"][name] for name in _NUMBERS))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path} is damaged ({error}); delete it to start the pass again") from error
        self._check(header["identity"])
        return state

    def _check(self, found: Mapping[str, Any]) -> None:
        expected = json.loads(json.dumps(dict(self.identity)))
        differ = [name for name in expected if found.get(name) != expected[name]]
        if differ:
            raise InputError(
                f"{self.path} belongs to another pass ({', '.join(differ)} differ); choose another file, or delete "
                "this one to start again"
            )
