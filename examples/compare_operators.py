"""Which surrogate for these runs? Neural operators, a regression and a network of one's own on equal terms."""

import torch
from torch import nn

import nwidth as nw

problem = nw.problems.get("poisson", resolution=12)
runs, test = nw.generate(problem, 48, seed=0), nw.generate(problem, 24, seed=1)

torch.manual_seed(0)
own = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 169), nn.Unflatten(1, (1, 13, 13)))


def training(rate):
    return nw.Training(batch=8, rate=rate)


comparison = nw.compare(
    {
        "FNO": nw.operators.FNO(modes=4, width=8, layers=2, training=training(2e-2)),
        "U-Net": nw.operators.UNet(width=6, levels=2, training=training(5e-3)),
        "DeepONet": nw.operators.DeepONet(terms=16, width=48, training=training(5e-3)),
        "POD-DeepONet": nw.operators.PODDeepONet(modes=16, width=48, training=training(5e-3)),
        "my perceptron": nw.wrap(own, training(5e-3)),
        "POD + kernel regression": nw.rb.PODRegression(),
    },
    runs,
    problem,
    test=test,
    epochs=8,
    seeds=(0, 1),
)

if __name__ == "__main__":
    print(comparison)
    print(comparison.table().latex())
