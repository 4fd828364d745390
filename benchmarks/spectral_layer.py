"""Fourier neural operators against neuraloperator's: speed and memory for the same function, and tensorised layers."""

import sys

import _resolving_rows
import _speed_rows
import _tensor_rows
from _harness import Row, main


def work(quick: bool, seed: int) -> list[Row]:
    """All rows."""
    return [*_speed_rows.rows(quick, seed), *_resolving_rows.rows(quick, seed), *_tensor_rows.rows(quick, seed)]


if __name__ == "__main__":
    sys.exit(main("spectral_layer", work))
