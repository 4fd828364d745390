"""Structured linear maps as torch modules: one protocol, one file per kind, and conversions between them."""

from nwidth.linmaps.base import Approximant, Cost, Goal, LinearMap, parameter_count
from nwidth.linmaps.chebyshev import TruncatedChebyshev
from nwidth.linmaps.compose import compose, reshape
from nwidth.linmaps.compress import compress
from nwidth.linmaps.convert import convert, relative_error, to_dense
from nwidth.linmaps.cosine import TruncatedCosine
from nwidth.linmaps.dense import Dense
from nwidth.linmaps.factorised import FactorisedSeries
from nwidth.linmaps.fourier import TruncatedFourier
from nwidth.linmaps.kronecker import Kronecker
from nwidth.linmaps.low_rank import LowRank
from nwidth.linmaps.multigrid import VCycle
from nwidth.linmaps.series import TruncatedSeries
from nwidth.linmaps.sine import TruncatedSine
from nwidth.linmaps.sparse_low_rank import SparseLowRank

__all__ = [
    "Approximant",
    "Cost",
    "Dense",
    "FactorisedSeries",
    "Goal",
    "Kronecker",
    "LinearMap",
    "LowRank",
    "SparseLowRank",
    "TruncatedChebyshev",
    "TruncatedCosine",
    "TruncatedFourier",
    "TruncatedSeries",
    "TruncatedSine",
    "VCycle",
    "compose",
    "compress",
    "convert",
    "parameter_count",
    "relative_error",
    "reshape",
    "to_dense",
]
