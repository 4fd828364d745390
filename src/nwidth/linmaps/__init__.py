"""Structured linear maps as torch modules: one protocol, one file per kind, and conversions between them."""

from nwidth.linmaps.base import Cost, LinearMap
from nwidth.linmaps.convert import to_dense
from nwidth.linmaps.dense import Dense
from nwidth.linmaps.fourier import TruncatedFourier

__all__ = ["Cost", "Dense", "LinearMap", "TruncatedFourier", "to_dense"]
