"""Multigrid on grids: one small vector machine, and programs written for it from the shape of the grid."""

from nwidth.solvers.multigrid.solver import Multigrid, suits

__all__ = ["Multigrid", "suits"]
