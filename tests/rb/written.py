"""The random affine problem with its coefficients written as formulas."""

from tests.rb.affine_cases import Random

from nwidth.core.expressions import Expression
from nwidth.core.storable import Parts, Storable
from nwidth.problems.base import Outputs
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import MinTheta, ThetaStable
from nwidth.spaces.box import Box


class Written(Formulas, ThetaStable, Outputs, Storable):
    """`theta` and `phi` are texts in the parameters `k` and `h`, both in [0.1, 10]."""

    kind = "testing-written"

    def __init__(self, theta, phi, outputs=True, **random):
        self.config = {"theta": theta, "phi": phi, "outputs": outputs, **random}
        self._inner = Random(terms=len(theta), loads=len(phi), **random)
        self._box = Box(("k", "h"), 0.1, 10.0, units=("W/mK", "W/m²K"))
        self._outputs = outputs

    parameters = property(lambda self: self._box)
    space = property(lambda self: self._inner.space)

    def terms(self):
        return self._inner.terms()

    def formulas(self):
        texts = self.config["theta"], self.config["phi"]
        return tuple(tuple(Expression.parse(t, self._box.names) for t in part) for part in texts)

    @property
    def stability(self):
        return MinTheta(self.space.energy.matrix.diagonal()[: len(self.config["theta"])] * 0 + 1.0, 1e-10)

    def quantities(self):
        return self._inner.quantities() if self._outputs else {}

    def to_parts(self):
        return Parts(self.config, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(**config)
