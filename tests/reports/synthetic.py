"""A report with invented numbers: what the page must be able to show."""

import numpy as np

from nwidth.reports.model import (
    Appendix,
    CostChart,
    Curves,
    Designs,
    FieldPlot,
    LimitCheck,
    OutputRow,
    ParameterRange,
    ProblemReport,
    Promise,
    Ranges,
    Report,
    Table,
)
from nwidth.reports.worth import CostPoint, judge

SOLVER = (
    CostPoint("Pardiso", 0.19, 1e-13),
    CostPoint("Pardiso, half the mesh", 0.021, 4e-3),
    CostPoint("half the mesh, extrapolated", 0.024, 9e-4),
)
REDUCED = (
    CostPoint("reduced basis", 3.1e-4, 9e-6, family="surrogate", guaranteed=True),
    CostPoint("reduced basis", 9e-6, 9e-6, batch=100_000, family="surrogate", guaranteed=True),
)
GRID = (
    CostPoint("conjugate gradients, 1e-4", 7e-4, 4e-5, guaranteed=True),
    CostPoint("conjugate gradients, 1e-1", 4e-4, 5e-2, guaranteed=True),
    CostPoint("sparse direct", 9e-3, 1e-14),
    CostPoint("operator", 2.2e-3, 8e-2, family="surrogate", guaranteed=True),
    CostPoint("operator, refined", 2.8e-3, 3e-5, family="refined", guaranteed=True),
)


def designs(number: int = 3000) -> Designs:
    rng = np.random.default_rng(1)
    power = rng.uniform(0, 300, number)
    values = 45 + 0.5 * power + rng.normal(0, 12, number)
    limit = rng.uniform(1e-4, 8e-4, number)
    values[:3] = 125 + np.array([1e-5, -1e-5, 3e-5])
    verdict = np.where(values + limit < 125, "below", np.where(values - limit > 125, "above", "undecided"))
    return Designs("Which designs stay below 125 °C?", power, "total power [W]", values, limit, verdict, 125.0,
                   "hotter chip, mean temperature", "°C")  # fmt: skip


def reduced_problem() -> ProblemReport:
    rng = np.random.default_rng(2)
    errors = 10 ** rng.uniform(-6, -4, 200)
    limits = errors * rng.uniform(2, 20, 200)
    grid = np.stack([a.ravel() for a in np.meshgrid(np.linspace(0, 64, 33), np.linspace(0, 42, 22))], axis=1)
    bump = np.exp(-((grid[:, 0] - 20) ** 2 + (grid[:, 1] - 20) ** 2) / 90)
    points = SOLVER + REDUCED
    singles, batches = [p for p in points if p.batch == 1], [p for p in points if p.batch > 1 or p.family == "solver"]
    return ProblemReport(
        name="power_module", title="Power module", question="Which of 3,000 designs keep both chips below 125 °C?",
        answer="1,800 below, 1,197 above, 3 went to the solver. At most 0.0008 K from your finite-element result.",
        summary="1,800 below, 1,197 above, 3 left to the solver; at most 0.0008 K off, guaranteed.",
        verdict=judge(points, offline=4.2),
        promise=Promise(("At most 0.0008 K from your finite-element result, guaranteed.",),
                        ("The mesh's own error.", "Errors of the material data <k & h>.")),
        outputs=(OutputRow("mean temperature, chip 1", "K", 200, 1.2e-4, 3e-4, 7.6e-4, 0),),
        output_charts=(designs(), LimitCheck("Chip 1: 200 unseen cases", errors, limits, "K")),
        tables=(Table("Designs", ("Verdict", "Designs"), (("below", "1,800"), ("above", "1,197"))),),
        cost_charts=(CostChart("One case at a time", tuple(singles), "relative error"),
                     CostChart("Many cases at a time", tuple(batches), "relative error")),
        ranges=Ranges((ParameterRange("conductivity of the interface", 0.8, 6, "W/mK", 0.9, log=True),
                       ParameterRange("power of chip 1", 0, 150, "W", 149.0)), "The limit is largest, 0.0008 K, at:"),
        fields=((FieldPlot("Finite elements", grid, 40 + 80 * bump, "temperature [°C]", axis_unit="mm"),
                 FieldPlot("Reduced basis", grid, 40 + 80 * bump, "temperature [°C]", axis_unit="mm"),
                 FieldPlot("Difference", grid, bump - 0.5, "difference [K]", axis_unit="mm", diverging=True)),),
        appendix=Appendix((Curves("Singular values", "index", "relative to the first",
                                  {"singular values": (np.arange(1, 25), 3.0 ** -np.arange(24))}),),
                          {"modes": "24"}, {"surrogate": "ab" * 32}),
    )  # fmt: skip


def grid_problem() -> ProblemReport:
    epochs = np.arange(1, 31)
    axis = np.linspace(0, 1, 33)
    grid = np.stack([a.ravel() for a in np.meshgrid(axis, axis)], axis=1)
    coefficient = np.where(np.sin(7 * grid[:, 0] + 3 * grid[:, 1]) > 0, 12.0, 3.0)
    return ProblemReport(
        name="darcy", title="Darcy flow", question="Is a neural operator worth it for flow through random ground?",
        answer="Error 8 % (energy), 1.9 % (mean square); every limit held on 100 unseen cases.",
        summary="8 % off in energy, 1.9 % in the mean square; 100 of 100 unseen cases within their limit.",
        verdict=judge(GRID, offline=110.0),
        promise=Promise(("Within the stated limit (energy norm) of your grid solution, guaranteed.",),
                        ("The grid's own error, about 10 %.",)),
        outputs=(OutputRow("pressure field, energy norm", "%", 100, 0.12, 0.13, 0.2, 0, relative=True),),
        cost_charts=(CostChart("One case at a time", GRID, "energy error"),),
        fields=((FieldPlot("Coefficient", grid, coefficient, "a"),),),
        appendix=Appendix((Curves("Training", "epoch", "relative energy error",
                                  {"training": (epochs, 0.5 / epochs), "validation": (epochs, 0.6 / epochs)}),)),
    )  # fmt: skip


def report() -> Report:
    return Report("Is a surrogate worth it?", "Three problems, one run.", (reduced_problem(), grid_problem()),
                  "2026-11-21", "nwidth demo", {"Processor": "2 cores"}, {"numpy": "2.0"})  # fmt: skip


def main() -> None:
    from pathlib import Path

    from rich.console import Console

    from nwidth.reports import html
    from nwidth.reports.console import print_verdict

    print_verdict(report(), Console(), html.write(report(), Path("/tmp/p_report")))


if __name__ == "__main__":
    main()
