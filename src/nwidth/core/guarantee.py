"""What a bound promises, as a type; its text is a sentence that an engineer can sign."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

#: What a rigorous bound can contain. Everything not listed in `covers` is not counted.
COVERS = ("reduction", "algebraic", "interpolation", "round-off", "discretisation")

#: The same in the words of those who sign.
_SPOKEN = {"algebraic": "iteration", "round-off": "rounding", "discretisation": "mesh"}


def counted(covers: Iterable[str]) -> str:
    """What a bound contains, as screens and reports say it: 'reduction, iteration, rounding'."""
    return ", ".join(_SPOKEN.get(word, word) for word in covers)


@dataclass(frozen=True)
class Rigorous:
    """A proven bound in `norm` on the distance to the full-order solution (or, if `covers` says so, the exact one)."""

    norm: str
    covers: tuple[str, ...]
    reference: str = "the full-order solution on this mesh"

    def __str__(self) -> str:
        missing = "" if "discretisation" in self.covers else "; the mesh's own error is not included"
        return f"Guaranteed distance ({self.norm}) from {self.reference}. Counted: {counted(self.covers)}{missing}."


@dataclass(frozen=True)
class Statistical:
    """A calibrated bound in `norm`: holds with probability at least `level` for queries drawn like the calibration."""

    norm: str
    level: float
    calibrated_on: int = 0

    def __str__(self) -> str:
        return (
            f"Holds for about {self.level:.0%} of cases drawn the same way ({self.norm}; calibrated on "
            f"{self.calibrated_on} unseen runs). Not for optimised designs or feedback."
        )


@dataclass(frozen=True)
class Estimate:
    """An indication without a promise; `missing` says what a promise would need."""

    norm: str
    missing: str = "a certificate"

    def __str__(self) -> str:
        return f"Indication only ({self.norm}). Missing: {self.missing}."


Guarantee: TypeAlias = Rigorous | Statistical | Estimate

_STRENGTH = {Estimate: 0, Statistical: 1, Rigorous: 2}


def weakest(guarantees: Iterable[Guarantee]) -> Guarantee:
    """The weakest promise among those given: the only one that holds for all of them together."""
    return min(guarantees, key=lambda g: (_STRENGTH[type(g)], getattr(g, "level", 1.0)))
