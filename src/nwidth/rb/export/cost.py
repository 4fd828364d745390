"""What one query costs on the other machine: known before it runs, because no loop depends on the data."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nwidth.core.expressions import OPERATIONS, Call, Expression, nodes
from nwidth.rb.export.reading import Exported


@dataclass(frozen=True)
class Cost:
    """Operations of one query without the stability constant, and bytes of constants and of working memory.

    `flops`: additions, subtractions and multiplications; changes of sign are not counted. `calls`: name of a <math.h>
    function that takes time -> how often.
    """

    flops: int
    divisions: int
    calls: Counter[str]
    constants: int
    stack: int

    @classmethod
    def of(cls, parts: Exported) -> "Cost":
        """Counted stage by stage, in the order of the C text."""
        model, residual = parts.model, parts.residual
        n, outputs = model.modes, len(model.functionals)
        terms, loads = len(model.matrices), len(model.loads)
        rows, width, packed = len(residual.rows), residual.rows.shape[1], n * (n + 1) // 2
        held = int(parts.row_lengths.sum())
        used = Counter(_operations((*parts.formulas.theta, *parts.formulas.phi)))
        solve = 2 * n * n
        flops = sum(used[o] for o in "+-*") + 2 * packed * terms + 2 * n * loads
        flops += sum(i * i + 2 * i for i in range(n)) + solve
        flops += (1 + outputs) * (n * terms + 2 * held + 2 * rows + 2 * width + 5)
        flops += 2 * terms + 2 * n + 4
        flops += (2 * n * n + 2 * rows + outputs * (solve + 8 * n + 9)) if outputs else 0
        calls = {OPERATIONS[o].c.partition("(")[0]: count for o, count in used.items() if OPERATIONS[o].called}
        calls = Counter({name: count for name, count in calls.items() if name not in ("fabs", "nw_min", "nw_max")})
        copies = 2 if outputs else 1
        constants = packed * terms + n * (loads + 2 * outputs + 1) + held + (2 if outputs else 1) * rows
        constants += terms + outputs + 2 * len(parts.box.names)
        words = len(parts.box.names) + terms + loads + copies * (packed + n) + rows + width + n * min(outputs, 1) + 16
        return cls(
            flops=flops,
            divisions=used["/"] + n + 2 * (1 + outputs),
            calls=calls + Counter(sqrt=n + outputs + 3),
            constants=8 * constants + 2 * rows,
            stack=8 * words,
        )


def _operations(formulas: Iterable[Expression]) -> Iterable[str]:
    return (node.operation for formula in formulas for node in nodes(formula.tree) if isinstance(node, Call))
