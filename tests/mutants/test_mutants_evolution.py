"""Mutants of steps in time, of learning problems from trajectories and of named numbers: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

STEPS = ("tests/operators/test_evolution_data.py",)
EVOLUTION = ("tests/operators/test_evolution.py",)
LEVELS = ("tests/snapshots/test_levels.py",)
KINDS = ("tests/surrogates/test_encoding_kinds.py",)
MEASURING = ("tests/operators/test_measuring.py",)

MUTANTS = [
    Mutant(
        "a window in reverse",
        "operators/evolution_data.py",
        "np.arange(window)[::-1], 0",
        "np.arange(window), 0",
        STEPS,
    ),
    Mutant(
        "a target one frame late",
        "operators/evolution_data.py",
        "end[:, None] + self._ahead",
        "end[:, None] + 0",
        STEPS,
    ),
    Mutant(
        "a rate that forgets the length of its step",
        "operators/evolution_data.py",
        "self._stencil.step / length",
        "length / length",
        STEPS,
    ),
    Mutant("a clock that stands still", "operators/evolution_step.py", "else self.step)", "else 0.0)", STEPS),
    Mutant(
        "the oldest frame is kept",
        "operators/evolution_step.py",
        "x[:, self.channels : self.past], u, tail",
        "x[:, : self.past - self.channels], u, tail",
        STEPS,
    ),
    Mutant(
        "gradients through the pushforward", "operators/evolution_step.py", "with torch.no_grad():", "if True:", STEPS
    ),
    Mutant(
        "noise when answering", "operators/evolution_step.py", "if self.training and self.noise", "if self.noise", STEPS
    ),
    Mutant(
        "a rollout that starts from the first frame of the window",
        "operators/evolution_surrogate.py",
        "np.concatenate([window[:, 1:], state[:, None]], axis=1)",
        "np.concatenate([window[:, :-1], state[:, None]], axis=1)",
        EVOLUTION,
    ),
    Mutant(
        "a step that forgets where it started",
        "operators/evolution_surrogate.py",
        "window[:, -1] + column",
        "window[:, 0] + column",
        EVOLUTION,
    ),
    Mutant("time that does not pass", "operators/evolution_surrogate.py", "            now = end\n", "", EVOLUTION),
    Mutant(
        "ends that are assumed to be fixed",
        "operators/evolution.py",
        'return "free", None\n        if',
        "pass\n        if",
        EVOLUTION,
    ),
    Mutant(
        "nodes beside the right ones",
        "snapshots/levels.py",
        "slice(None, None, s) for s",
        "slice(s - 1, None, s) for s",
        LEVELS,
    ),
    Mutant("the last frame is lost", "snapshots/levels.py", "times[count:]", "times[count:-1]", EVOLUTION),
    Mutant(
        "a line that is no grid",
        "surrogates/training/encoding.py",
        "isinstance(space, Grid | Torus):\n        return space.dim",
        "isinstance(space, Grid):\n        return space.dim",
        KINDS,
    ),
    Mutant(
        "a plain mean on a grid with both ends",
        "operators/measuring.py",
        "w @ (widths / widths.sum())",
        "w.mean(dim=-1)",
        MEASURING,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
