"""The equation in a file: the section `problem` of a study, or a saved problem."""

from collections.abc import Sequence
from pathlib import Path

from nwidth.core.errors import InputError
from nwidth.io.detect import detect
from nwidth.io.model import load
from nwidth.problems.base import Problem
from nwidth.study.answers import equation_of
from nwidth.study.choices import choices
from nwidth.study.schema import problem_part
from nwidth.study.yaml_file import read
from nwidth.surrogates.base import Surrogate


def problem_in(path: str | Path, kinds: Sequence[type] = ()) -> Problem:
    """The problem in a YAML file with a section `problem` (other sections are ignored), or in a model file.

    A model file holds a problem itself (`nw.save(problem, path)`), or a surrogate that carries one. Raises InputError
    where there is none.
    """
    path = Path(path)
    if detect(path) == "model":
        found = load(path, kinds)
        problem = equation_of(found) if isinstance(found, Surrogate) else found
        if not isinstance(problem, Problem):
            raise InputError(f"{path} holds a {found.kind!r} without an equation; give a study or a saved problem")
        return problem
    return problem_part(read(path), choices(kinds), path).instance
