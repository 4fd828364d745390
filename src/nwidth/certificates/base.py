"""The certificate protocol: it turns a bare answer into one with a limit for every sample."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from nwidth.core.arrays import Array, Mu
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Storable
from nwidth.problems.base import Problem
from nwidth.surrogates.base import Surrogate

#: Queries to answers with limits.
Answering: TypeAlias = Callable[[Mu | Array], Prediction]


class Certificate(Storable):
    """Bounds the distance between a prediction and the full-order solution."""

    @property
    @abstractmethod
    def guarantee(self) -> Guarantee:
        """What the bounds promise, in which norm, and what they cover."""

    @property
    def equation(self) -> Problem | None:
        """The problem whose solutions the limits are measured from, where the certificate holds it."""
        return None

    @abstractmethod
    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with prescribed values imposed, a limit per sample, and a reason where it is +inf.

        The limit is for the *returned* field. Raises InputError for a prediction that it cannot judge.
        """

    def answering(self, surrogate: Surrogate) -> Answering:
        """How queries to this surrogate are answered; what can be prepared once for all of them is prepared here."""
        return partial(answer, self, surrogate)

    def check(self, surrogate: Storable) -> None:
        """Raises InputError where the certificate was made for another surrogate; statistical ones are."""


def answer(certificate: Certificate, surrogate: Surrogate, mu: Mu | Array) -> Prediction:
    """The surrogate's answers with their limits."""
    return certificate.bound(surrogate.predict(mu))
