"""Neural operators: the Fourier neural operator, and torch modules of one's own."""

from nwidth.operators.architecture import Architecture, OperatorFitter, OperatorSurrogate
from nwidth.operators.evolution import Evolving
from nwidth.operators.evolution_surrogate import Evolved
from nwidth.operators.fitting import FromData
from nwidth.operators.fno import FNO, FNOSurrogate
from nwidth.operators.frame import Frame
from nwidth.operators.network import FourierNetwork
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.operators.unet import UNet
from nwidth.operators.wrap import StorableModule, Wrapped, WrappedSurrogate, wrap
from nwidth.surrogates.training import Training

__all__ = [
    "FNO",
    "Architecture",
    "Evolved",
    "Evolving",
    "FNOSurrogate",
    "FourierNetwork",
    "Frame",
    "FromData",
    "NeuralSurrogate",
    "OperatorFitter",
    "OperatorSurrogate",
    "StorableModule",
    "Training",
    "UNet",
    "Wrapped",
    "WrappedSurrogate",
    "wrap",
]
