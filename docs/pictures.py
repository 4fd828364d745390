"""Makes the picture of the README, docs/img/power_module.png: python docs/pictures.py"""

from pathlib import Path

from nwidth.problems.power_module import PowerModule
from nwidth.reports.figures import draw
from nwidth.reports.palette import LIGHT
from nwidth.reports.style import styled, to_png
from nwidth.study.demo_power import PowerDemo, decide, reduce, sizes
from nwidth.study.demo_power_report import designs
from nwidth.study.measure import one_thread

TARGET = Path(__file__).parent / "img" / "power_module.png"
#: Half of the demo's solves: limits large enough to be seen, and some designs undecided.
SHARE = 0.5


def main() -> None:
    """The demo's designs, seed 0, decided after half of its solves."""
    config = PowerDemo()
    with one_thread():
        reduced = reduce(PowerModule(config.resolution), config.greedy, seed=0)
        decided = decide(reduced, config.designs, seed=1)
        half = sizes(reduced, decided, (SHARE,))[0]
    with styled(LIGHT):
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        to_png(draw(designs(decided, half), LIGHT), TARGET, LIGHT.surface)


if __name__ == "__main__":
    main()
