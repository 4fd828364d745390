"""The files beside the benchmarks are no package: they are loaded by name here, and forgotten after each test."""

import sys
from importlib import import_module

import pytest
from tests.benchmarks.quick import BENCHMARKS


@pytest.fixture
def beside(monkeypatch):
    """`beside("_race")`: a file beside the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module
    for name in {path.stem for path in BENCHMARKS.glob("*.py")}:
        sys.modules.pop(name, None)
