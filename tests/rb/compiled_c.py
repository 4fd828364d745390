"""Exported C files, compiled and called."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) on this machine")

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
STRICTER = ("-Wconversion", "-Wshadow", "-Wmissing-prototypes", "-Wstrict-prototypes", "-Wundef", "-Wdouble-promotion")
OUTSIDE, NOT_FINITE, NO_COEFFICIENT, NOT_STABLE, NOT_DEFINITE, NO_LIMIT = (1 << i for i in range(6))


def compile_c(source: Path, *options: str, compiler: str = "cc") -> subprocess.CompletedProcess[str]:
    command = [compiler, *options, str(source), "-lm"]
    return subprocess.run(command, capture_output=True, text=True, cwd=source.parent, timeout=120)


class Compiled:
    """A model from its C file: `predict(mu)` for one row after the other."""

    def __init__(self, source: Path, parameters: int, outputs: int, modes: int | None = None, options=("-O2",)):
        library = source.with_suffix(".so")
        done = compile_c(source, *STRICT, *options, "-shared", "-fPIC", "-o", str(library))
        assert done.returncode == 0, done.stderr
        fields = [("outputs", ctypes.c_double * outputs), ("limits", ctypes.c_double * outputs)] if outputs else []
        fields += [("coefficients", ctypes.c_double * modes)] if modes else []
        fields += [("bound", ctypes.c_double), ("range", ctypes.c_byte * parameters), ("status", ctypes.c_uint)]
        self.result = type("Result", (ctypes.Structure,), {"_fields_": fields})
        self._predict = getattr(ctypes.CDLL(str(library)), f"{source.stem}_predict")
        self._predict.restype = ctypes.c_uint
        self._parameters = parameters

    def __call__(self, row):
        """The result of one query; every byte of it was something else before."""
        result = self.result()
        ctypes.memset(ctypes.byref(result), 0xFF, ctypes.sizeof(result))
        status = self._predict((ctypes.c_double * self._parameters)(*row), ctypes.byref(result))
        assert status == result.status
        return result

    def table(self, rows, name):
        """One member of the results of many queries, `(B,)` or `(B, n)`."""
        values = (getattr(self(row), name) for row in rows)
        return np.array([list(v) if isinstance(v, ctypes.Array) else v for v in values])


def rows_of(mu, names):
    return np.stack([np.asarray(mu[name], dtype=float) for name in names], axis=1)
