"""Freed memory stays with the process within `kept_memory`, and only there."""

import resource
import subprocess
import sys

import pytest

from nwidth.surrogates.training import memory

needs_glibc = pytest.mark.skipif(memory._glibc() is None, reason="glibc only")
FAULTS = """
import resource
from contextlib import nullcontext
import numpy as np
from nwidth.surrogates.training.memory import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(8 << 20)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def within(context):
    with context:
        faults()
        return faults()

print(within(nullcontext()), within(kept_memory()), within(nullcontext()))
"""


@needs_glibc
def test_pages_are_fetched_once():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, within, after = (int(word) for word in done.stdout.split())
    pages = 64 * 1024**2 // resource.getpagesize()
    assert before > pages // 512 and within < before / 5, (before, within)  # pages may be large ones
    assert after > within


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    with memory.kept_memory():
        pass


@needs_glibc
def test_an_error_inside_leaves_no_trace(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, name, value):
            calls.append((name, value))

        def malloc_trim(self, pad):
            calls.append("trim")

    monkeypatch.setattr(memory, "_glibc", Library)
    with pytest.raises(ValueError, match="inside"), memory.kept_memory():
        raise ValueError("inside")
    assert calls[-3:] == [(-3, 32 << 20), (-1, 64 << 20), "trim"]
