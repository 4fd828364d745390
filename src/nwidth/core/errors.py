"""The two ways in which a request can end without an answer.

Every message names what was received, what was expected and what to do.
"""


class InputError(ValueError):
    """The request was wrong: a value, a shape, a file or a name. Command line exit code 2."""


class WorkError(RuntimeError):
    """The request was fine and the work failed: a missed tolerance, a full disk, divergence. Exit code 1."""
