"""One memory layout for grids of one to three directions: arrays `(B, N0, N1, N2)`, a missing axis has one node."""

#: The axes that a grid of 1, 2 or 3 directions uses: first, last, middle.
AXES: dict[int, tuple[int, ...]] = {1: (0,), 2: (0, 2), 3: (0, 1, 2)}


def padded(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Nodes along all three axes."""
    nodes = [1, 1, 1]
    for axis, n in zip(AXES[len(shape)], shape, strict=True):
        nodes[axis] = int(n)
    return nodes[0], nodes[1], nodes[2]
