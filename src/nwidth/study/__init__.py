"""A study: one YAML file that drives everything, and steps that are done once."""

from nwidth.study.answers import Answers, ask, difference_unit, heading
from nwidth.study.run import Outcome, load, run
from nwidth.study.steps import Event, State

__all__ = ["Answers", "Event", "Outcome", "State", "ask", "difference_unit", "heading", "load", "run"]
