"""Problems by name."""

import pytest

from nwidth import problems
from nwidth.core.errors import InputError
from nwidth.core.kinds import BUILTIN
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson


def test_names_give_problems_with_their_options():
    assert problems.get("darcy", resolution=16, law="log-normal") == Darcy(16, law="log-normal")
    assert problems.get("poisson") == Poisson()
    assert type(problems.get("thermal-block", resolution=8)).kind == "thermal_block"
    assert set(problems.ZOO) <= set(BUILTIN)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("navier", {}, "choose one of " + ", ".join(problems.ZOO)),
        ("box", {}, "not in the zoo"),
        (3, {}, "not in the zoo"),
        ("darcy", {"res": 3}, "darcy has no option res; its options are resolution, law"),
    ],
)
def test_what_is_not_there_is_named(name, options, message):
    with pytest.raises(InputError, match=message):
        problems.get(name, **options)
