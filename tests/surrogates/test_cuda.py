"""Training on a GPU, with nothing else changed; skipped where there is none."""

import numpy as np
import pytest
import torch
from tests.surrogates import trainings

import nwidth as nw

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("optimiser", ["adamw", "soap", "muon"])
def test_the_losses_are_those_of_the_host(optimiser, tmp_path):
    training = nw.Training(epochs=3, optimiser=optimiser, ema=0.9, clip=1.0, augment="square")
    histories = []
    for run in (nw.Run(), nw.Run(device="cuda"), nw.Run(device="cuda", workdir=tmp_path)):
        torch.manual_seed(0)
        surrogate = nw.wrap(trainings.Net(), training).fit(trainings.runs(), seed=0, run=run)
        assert all(tensor.device.type == "cpu" for tensor in surrogate.module.state_dict().values())
        histories.append(surrogate.history)
    for found in histories[1:]:
        np.testing.assert_allclose(found.train, histories[0].train, rtol=1e-2)


def test_half_precision_and_every_loss():
    for loss in ("h1", "l2", "lp", "h-1"):
        training = nw.Training(epochs=1, loss=loss, p=3.0, precision="bfloat16")
        fitter = nw.operators.FNO(modes=4, width=8, layers=2, training=training)
        surrogate = fitter.fit(trainings.runs(), seed=0, run=nw.Run(device="cuda"))
        assert np.isfinite(surrogate.history.best)
