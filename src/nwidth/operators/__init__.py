"""Neural operators: the Fourier neural operator, and torch modules of one's own."""

from nwidth.operators.architecture import Architecture, OperatorFitter, OperatorSurrogate
from nwidth.operators.block_network import BlockNetwork
from nwidth.operators.deeponet import DeepONet
from nwidth.operators.evolution import Evolving
from nwidth.operators.evolution_surrogate import Evolved
from nwidth.operators.export import Exported, to_exported_program, to_onnx, to_pt2
from nwidth.operators.ffno import FFNO
from nwidth.operators.fitting import FromData
from nwidth.operators.fno import FNO, FNOSurrogate
from nwidth.operators.frame import Frame
from nwidth.operators.ifno import IFNO
from nwidth.operators.measuring import Measured, Measuring
from nwidth.operators.mg_tfno import MGTFNO
from nwidth.operators.mgno import MgNO
from nwidth.operators.network import FourierNetwork
from nwidth.operators.peer import from_neuraloperator
from nwidth.operators.pod_deeponet import PODDeepONet
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.operators.tensorise import tensorise
from nwidth.operators.tfno import TFNO
from nwidth.operators.unet import UNet
from nwidth.operators.wrap import StorableModule, Wrapped, WrappedSurrogate, wrap
from nwidth.surrogates.training import Training

__all__ = [
    "FFNO",
    "FNO",
    "IFNO",
    "MGTFNO",
    "TFNO",
    "Architecture",
    "BlockNetwork",
    "DeepONet",
    "Evolved",
    "Evolving",
    "Exported",
    "FNOSurrogate",
    "FourierNetwork",
    "Frame",
    "FromData",
    "Measured",
    "Measuring",
    "MgNO",
    "NeuralSurrogate",
    "OperatorFitter",
    "OperatorSurrogate",
    "PODDeepONet",
    "StorableModule",
    "Training",
    "UNet",
    "Wrapped",
    "WrappedSurrogate",
    "from_neuraloperator",
    "tensorise",
    "to_exported_program",
    "to_onnx",
    "to_pt2",
    "wrap",
]
