"""The solution operator of a Poisson problem in a tenth, a hundredth, ... of its numbers, with the achieved error."""

import numpy as np
import torch

from nwidth.linmaps import Dense, compress, parameter_count

CELLS = 24


def solution_operator() -> Dense:
    """`f ↦ u` for -Δu = f on the square, u = 0 on its boundary: the inverse of the five-point matrix."""
    n = CELLS - 1
    second = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)) * CELLS**2
    laplace = np.kron(second, np.eye(n)) + np.kron(np.eye(n), second)
    operator = Dense((n, n), (n, n), dtype=torch.float64)
    operator.real.data.copy_(torch.from_numpy(np.linalg.inv(laplace)))
    return operator


def main() -> list[tuple[float, str, int, float]]:
    """One line for each tolerance: kind, parameters, achieved error."""
    operator = solution_operator()
    given, rows = parameter_count(operator), []
    print(f"solution operator, {CELLS - 1} x {CELLS - 1} unknowns: {given:,} entries")
    for tol in (1e-1, 1e-2, 1e-3):
        small, error = compress(operator, tol=tol, kinds=["low-rank", "kronecker", "tensor-train"])
        count, cheaper = parameter_count(small), operator.cost(16).flops / small.cost(16).flops
        print(
            f"asked {tol:.0e}: {type(small).__name__} with {count:,} parameters ({given / count:.0f}x fewer), error "
            f"{error:.1e} (relative, Frobenius), {cheaper:.0f}x fewer operations"
        )
        rows.append((tol, type(small).__name__, count, error))
    return rows


if __name__ == "__main__":
    main()
