"""Neural operators: the Fourier neural operator, and torch modules of one's own."""

from nwidth.operators.fno import FNO, FNOSurrogate
from nwidth.operators.network import FourierNetwork
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.operators.wrap import StorableModule, Wrapped, WrappedSurrogate, wrap
from nwidth.surrogates.training import Training

__all__ = [
    "FNO",
    "FNOSurrogate",
    "FourierNetwork",
    "NeuralSurrogate",
    "StorableModule",
    "Training",
    "Wrapped",
    "WrappedSurrogate",
    "wrap",
]
