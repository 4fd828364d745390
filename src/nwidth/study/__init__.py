"""A study: one YAML file that drives everything, and steps that are done once."""

from nwidth.study.answers import Answers, ask, check_output, difference_unit, heading
from nwidth.study.equations import problem_in
from nwidth.study.evidence import Written
from nwidth.study.run import Outcome, load, run
from nwidth.study.steps import Event, State

__all__ = [
    "Answers", "Event", "Outcome", "State", "Written", "ask", "check_output", "difference_unit", "heading", "load",
    "problem_in", "run",
]  # fmt: skip
