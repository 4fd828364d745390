"""A study: one YAML file that drives everything, and steps that are done once."""

from nwidth.study.run import Outcome, load, run

__all__ = ["Outcome", "load", "run"]
