"""Small problems with known solutions, written as a user would write them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import WorkError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.problems.base import BlackBox, Evolution, Outputs, Quantity
from nwidth.spaces.base import FunctionSpace, InnerProduct, ParameterSpace

NX, NY = 5, 4


class Draws(ParameterSpace):
    """A scalar k in (0, 1) and a field a on the nodes."""

    kind: ClassVar[str] = "test-draws"
    names = ("k", "a")

    def __init__(self, shape: tuple[int, ...] = (NX, NY)):
        self.shape = tuple(shape)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        streams = [generator(seed, i) for i in indices]
        return {
            "k": np.array([s.random() for s in streams]),
            "a": np.stack([s.normal(size=self.shape) for s in streams]),
        }

    def contains(self, mu: Mapping[str, Array]) -> Array:
        return (mu["k"] > 0) & (mu["k"] < 1)

    def to_parts(self) -> Parts:
        return Parts({"shape": list(self.shape)}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> "Draws":
        return cls(config["shape"])


class Plane(FunctionSpace):
    """NX x NY nodes of a rectangle, x first; `components` fields on it."""

    kind: ClassVar[str] = "test-plane"

    def __init__(self, components: int = 1, dtype: str = "float64"):
        self.count, self._dtype = components, dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (NX, NY) if self.count == 1 else (self.count, NX, NY)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self._dtype)

    @property
    def components(self) -> dict[str, slice]:
        return {f"u{i}": slice(i * NX * NY, (i + 1) * NX * NY) for i in range(self.count)}

    def points(self, mu: Any = None) -> Array:
        x, y = np.meshgrid(np.linspace(0, 2, NX), np.linspace(0, 1, NY) ** 2, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)

    def inner(self, kind: str) -> InnerProduct:
        raise WorkError("not needed")

    def to_parts(self) -> Parts:
        return Parts({"components": self.count, "dtype": self._dtype}, {"probe": np.arange(3.0)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> "Plane":
        return cls(**config)


KINDS = (Draws, Plane)


@dataclass(frozen=True)
class Waves(BlackBox, Outputs):
    """`u = amplitude (k + a) + j a` in component j (times 1 + i where complex); fails where k is above `limit`."""

    amplitude: float = 2.0
    components: int = 1
    dtype: str = "float64"
    limit: float = 1.0
    silent: bool = False

    @property
    def parameters(self) -> Draws:
        return Draws()

    @property
    def space(self) -> Plane:
        return Plane(self.components, self.dtype)

    def solve(self, mu: Mapping[str, Array]) -> Array:
        if (mu["k"] > self.limit).any() and not self.silent:
            raise WorkError("k is too large")
        fields = self.exact(mu)
        fields[mu["k"] > self.limit] = np.nan
        return fields

    def exact(self, mu: Mapping[str, Array]) -> Array:
        k, a = mu["k"][:, None, None], mu["a"]
        u = np.stack([self.amplitude * (k + a) + j * a for j in range(self.components)], axis=1)
        u = u[:, 0] if self.components == 1 else u
        return (u * (1 + 1j)).astype(self.dtype) if np.dtype(self.dtype).kind == "c" else u.astype(self.dtype)

    def quantities(self) -> dict[str, Quantity]:
        ones, first = np.ones(self.space.size), np.eye(1, self.space.size)[0]
        return {"total": Quantity(ones, offset=1.0, unit="K"), "first": Quantity(first, unit="m")}


@dataclass(frozen=True)
class Decay(Evolution, BlackBox, Outputs):
    """`u(t) = a exp(-k t)` at four times."""

    parameters = Draws()
    space = Plane()
    times = np.array([0.0, 0.5, 1.0, 4.0])

    def initial(self, mu: Mapping[str, Array]) -> Array:
        return mu["a"]

    def solve(self, mu: Mapping[str, Array]) -> Array:
        return np.exp(-mu["k"][:, None] * self.times)[:, :, None, None] * mu["a"][:, None]

    def quantities(self) -> dict[str, Quantity]:
        return {"mean": Quantity(np.full(NX * NY, 1 / (NX * NY)))}
