"""Multigrid on grids: one small vector machine, and programs written for it from the shape of the grid."""
