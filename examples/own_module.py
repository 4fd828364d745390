"""A torch module of your own: `nw.wrap` trains it, or train it yourself with `snapshots.loader`.

Boundary values are exact by construction and every answer gets a guaranteed limit, as for the built-in operators.
"""

import numpy as np
import torch
from torch import nn

import nwidth as nw


class SmallConvolution(nw.operators.StorableModule):
    """Four dilated convolutions; fields `(B, C, n, n)` to `(B, 1, n, n)`."""

    kind = "small-convolution"

    def __init__(self, channels_in: int, width: int = 12):
        super().__init__()
        self.channels_in, self.width = channels_in, width
        sizes = [(channels_in, width, 1), (width, width, 2), (width, width, 4), (width, 1, 8)]
        layers = [nn.Conv2d(a, b, 3, padding=d, dilation=d) for a, b, d in sizes]
        self.layers = nn.ModuleList(layers)

    def config(self):
        return {"channels_in": self.channels_in, "width": self.width}

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = nn.functional.gelu(layer(x))
        return self.layers[-1](x)


problem = nw.problems.get("darcy", resolution=16)
snapshots = nw.generate(problem, 64, seed=0)

inputs, targets = next(iter(snapshots.loader("cpu", batch_size=4)))
torch.manual_seed(0)
module = SmallConvolution(inputs.shape[1])

surrogate = nw.wrap(module, training=nw.Training(epochs=15)).fit(snapshots, problem, seed=0)
certified = nw.certify(surrogate, problem)
answer = certified.predict(problem.parameters.sample(range(8), seed=1))
exact = nw.refine(answer, problem, rtol=1e-4)
nw.save(certified, "own_module.nwidth")
again = nw.load("own_module.nwidth", kinds=[SmallConvolution])

if __name__ == "__main__":
    print(answer.guarantee)
    print("limits:       ", np.array2string(answer.bound, precision=3))
    print("after refining", np.array2string(exact.bound, precision=3))
