"""A trained Fourier operator with fewer numbers: its weights decomposed, or the low-rank form trained from the start.

Decomposing says at once how far the weights are off; training in the form is what keeps the answers good.
"""

import numpy as np

import nwidth as nw
from nwidth.operators import FNO, TFNO, Training, tensorise

MODES, WIDTH, LAYERS = 5, 12, 2


def numbers(surrogate):
    """Real numbers in the spectral weights."""
    named = surrogate.module.named_parameters()
    return sum(p.numel() for name, p in named if "spectral" in name or "weights" in name)


def error(surrogate, runs):
    """Mean relative L² error."""
    truth = np.asarray(runs.fields).reshape(len(runs), -1)
    apart = surrogate.predict(runs.mu).values.reshape(len(runs), -1) - truth
    return float(np.mean(np.linalg.norm(apart, axis=1) / np.linalg.norm(truth, axis=1)))


def main():
    problem = nw.problems.get("darcy", resolution=12, law="log-normal", sigma=0.5)
    runs, test = nw.generate(problem, 80, seed=0), nw.generate(problem, 16, seed=1)
    training = Training(epochs=16, rate=5e-3)
    dense = FNO(modes=MODES, width=WIDTH, layers=LAYERS, training=training).fit(runs, problem)
    table = {"trained FNO": (numbers(dense), 0.0, error(dense, test))}
    for share in (2, 10):
        low, off = tensorise(dense, "tucker", budget=numbers(dense) // share)
        table[f"its weights, 1/{share}"] = (numbers(low), off, error(low, test))
    trained = TFNO(modes=MODES, width=WIDTH, layers=LAYERS, rank=0.1, training=training).fit(runs, problem)
    table["trained TFNO, 1/10"] = (numbers(trained), float("nan"), error(trained, test))
    return table


if __name__ == "__main__":
    print(f"{'':<22} {'numbers':>8} {'weights off':>12} {'error':>8}")
    for name, (count, off, wrong) in main().items():
        print(f"{name:<22} {count:>8} {off:>12.1%} {wrong:>8.2%}")
