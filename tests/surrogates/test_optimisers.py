"""Optimisers against singular values, torch's own, and plain Adam; the running mean; precision."""

import numpy as np
import pytest
import torch
from tests.surrogates.test_training import CONFIG, setup
from torch import nn

from nwidth.core.errors import InputError
from nwidth.surrogates.training import Training, relative_lp, train
from nwidth.surrogates.training.average import Average
from nwidth.surrogates.training.muon import Muon, orthogonalised
from nwidth.surrogates.training.optimisers import optimisers_for
from nwidth.surrogates.training.trees import flattened, rebuilt


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4)])
def test_singular_values_go_through_the_quintic(shape):
    stack = drawn(3, *shape)
    u, s, v = torch.linalg.svd(stack, full_matrices=False)
    s = s / torch.linalg.vector_norm(s, dim=1, keepdim=True)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(orthogonalised(stack), u @ torch.diag_embed(s) @ v, rtol=0, atol=1e-12)
    found = torch.linalg.svdvals(orthogonalised(stack))
    assert found.max() < 1.21 and found.min() > 0.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
def test_muon_is_torch_s_own_up_to_its_half_precision():
    ours, theirs = (nn.Parameter(drawn(12, 20).float()) for _ in range(2))
    pair = (
        Muon([ours], lr=0.1, weight_decay=0.3),
        torch.optim.Muon([theirs], lr=0.1, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
    )
    for step in range(4):
        for parameter, optimiser in zip((ours, theirs), pair, strict=True):
            parameter.grad = drawn(12, 20, seed=step + 1).float()
            optimiser.step()
    moved = (theirs - drawn(12, 20).float()).abs().max()
    assert (ours - theirs).abs().max() < 0.03 * moved


def test_a_stack_is_trained_matrix_by_matrix_and_a_kernel_as_one():
    stack, kernel = nn.Parameter(drawn(3, 5, 6)), nn.Parameter(drawn(6, 4, 3, 3))
    alone = [nn.Parameter(drawn(3, 5, 6)[i].clone()) for i in range(3)] + [nn.Parameter(kernel.detach().flatten(1))]
    together = Muon([{"params": [stack]}, {"params": [kernel], "flat": True}], lr=0.1)
    apart = Muon(alone, lr=0.1)
    stack.grad, kernel.grad = drawn(3, 5, 6, seed=1), drawn(6, 4, 3, 3, seed=2)
    for i in range(3):
        alone[i].grad = stack.grad[i]
    alone[3].grad = kernel.grad.flatten(1)
    together.step(), apart.step()
    for i in range(3):
        torch.testing.assert_close(stack[i], alone[i], rtol=0, atol=1e-12)
    torch.testing.assert_close(kernel.flatten(1), alone[3], rtol=0, atol=1e-12)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lift, self.hidden, self.kernel = nn.Linear(1, 8), nn.Linear(8, 8), nn.Conv1d(8, 8, 3)
        self.spectral, self.frozen = nn.Parameter(torch.ones(5, 8, 8)), nn.Parameter(torch.ones(4, 4))
        self.frozen.requires_grad_(False)


def test_muon_takes_the_matrices_and_adamw_the_rest():
    module = Mixed()
    muon, rest = optimisers_for(Training(optimiser="muon", rate=0.1, decay=0.2), module)
    stacks, kernels = muon.param_groups
    assert {*stacks["params"]} == {module.hidden.weight, module.spectral} and not stacks["flat"]
    assert kernels["params"] == [module.kernel.weight] and kernels["flat"]
    others = {module.lift.weight, module.lift.bias, module.hidden.bias, module.kernel.bias}
    assert isinstance(rest, torch.optim.AdamW) and {*rest.param_groups[0]["params"]} == others
    assert all(g["weight_decay"] == 0.2 for o in (muon, rest) for g in o.param_groups)


def test_soap_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pytorch_optimizer", None)
    with pytest.raises(InputError, match=r"pip install 'nwidth\[neural\]'"):
        optimisers_for(Training(optimiser="soap"), Mixed())


@pytest.mark.parametrize("optimiser", ["adamw", "soap", "muon"])
@pytest.mark.parametrize("schedule", ["one-cycle", "warmup-stable-decay"])
def test_every_optimiser_reduces_the_loss(optimiser, schedule):
    module, samples, validation = setup()
    config = Training(epochs=60, batch=8, rate=3e-2, optimiser=optimiser, schedule=schedule, ema=0.9, clip=1.0)
    history = train(module, samples, validation, relative_lp(2), config)
    assert history.train[0] > 0.5 and history.best < 0.1


def test_the_running_mean_is_the_one_of_the_formula():
    module = nn.Linear(2, 2)
    average, expected = Average(module, 0.5), module.weight.detach().clone()
    for step in range(6):
        with torch.no_grad():
            module.weight.add_(step + 1.0)
        average.update(module, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(average.values["weight"], expected)
    own = module.weight.detach().clone()
    with average.inside(module):
        torch.testing.assert_close(module.weight.detach(), expected)
    torch.testing.assert_close(module.weight.detach(), own, rtol=0, atol=0)


def test_the_mean_is_what_is_validated_and_kept():
    """Every validation loss is that of the mean, and so is the module at the end; one step an epoch."""
    module, samples, validation = setup()
    module[2].p = 0.0
    before, seen = [], []

    def loss(v, u):
        state = {name: p.detach().clone() for name, p in module.named_parameters()}
        (before if torch.is_grad_enabled() else seen).append(state)
        return relative_lp(2)(v, u)

    history = train(module, samples, validation, loss, Training(epochs=4, batch=20, rate=1e-2, ema=0.3))
    assert len(before) == len(seen) == 4 and history.best_epoch == int(np.argmin(history.validation))
    mean = before[0]
    for step in range(3):
        decay = min(0.3, (1 + step) / (10 + step))
        mean = {name: decay * value + (1 - decay) * before[step + 1][name] for name, value in mean.items()}
        torch.testing.assert_close(seen[step], mean)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.detach(), seen[history.best_epoch][name], rtol=0, atol=0)


def test_clipping_limits_the_norm_of_the_gradient():
    module, samples, validation = setup()
    norms = []

    class Watched(torch.optim.SGD):
        def step(self):
            gradients = [p.grad for p in module.parameters()]
            norms.append(float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))))

    from nwidth.surrogates.training import loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "optimisers_for", lambda config, m: [Watched(m.parameters(), lr=0.1)])
        train(module, samples, validation, relative_lp(2), Training(epochs=2, batch=8, clip=0.01))
    assert norms and max(norms) <= 0.01 * (1 + 1e-5) and min(norms) > 0.0099


def test_bfloat16_computes_in_half_precision_and_learns_in_single():
    module, samples, validation = setup()
    seen = []
    module[0].register_forward_hook(lambda m, x, y: seen.append(y.dtype))

    def loss(v, u):
        seen.append(v.dtype)
        return relative_lp(2)(v, u)

    history = train(module, samples, validation, loss, Training(epochs=60, batch=8, rate=2e-2, precision="bfloat16"))
    assert {*seen[::2]} == {torch.bfloat16} and {*seen[1::2]} == {torch.float32}
    assert history.best < 0.1
    assert all(p.dtype == torch.float32 for p in module.parameters())


def test_states_come_back_bit_for_bit_with_their_order_in_memory():
    tree = {
        "state": {0: {"Q": [torch.randn(3, 4).T, []], "step": torch.tensor(3.0), "beta": 0.1 + 0.2, "none": None}},
        "groups": [{"betas": (0.9, 0.99), "params": [0], "flag": True, "zero": torch.ones(1).expand(3)}],
    }
    again = rebuilt(*flattened(tree))
    assert again["groups"][0]["betas"] == (0.9, 0.99) and again["state"][0]["beta"] == 0.1 + 0.2
    assert again["state"][0]["Q"][1] == [] and again["state"][0]["none"] is None
    assert torch.equal(again["state"][0]["Q"][0], tree["state"][0]["Q"][0])
    assert again["state"][0]["Q"][0].stride() == (1, 4)
    assert torch.equal(again["groups"][0]["zero"], torch.ones(3))
    with pytest.raises(InputError, match="a state holds a object"):
        flattened({"a": object()})


@pytest.mark.parametrize("wrong", [{"p": 0.5}, {"optimiser": "sgd"}, {"schedule": "x"}, {"ema": 1.0}, {"clip": 0.0}])
def test_impossible_settings_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"training: {name} is"):
        Training(**wrong)


def test_float64_and_the_default_agree():
    losses = {}
    for precision in ("float32", "float64"):
        module, samples, validation = setup()
        if precision == "float64":
            module.double()
            samples.__init__(samples._snapshots, samples._encode, samples._rows, "cpu", precision)
            validation.__init__(validation._snapshots, validation._encode, validation._rows, "cpu", precision)
        module[2].p = 0.0
        losses[precision] = train(module, samples, validation, relative_lp(2), CONFIG).train
    np.testing.assert_allclose(losses["float32"], losses["float64"], rtol=1e-4)
    assert losses["float32"] != losses["float64"]
