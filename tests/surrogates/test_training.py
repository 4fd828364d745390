"""The training loop: repeatable, resumable, and loud when it fails."""

import numpy as np
import pytest
import torch
from torch import nn

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.save import save_snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.surrogates.base import Run
from nwidth.surrogates.training import Encoding, Samples, Training, loader, relative_lp, train
from nwidth.surrogates.training.checkpoint import NAME
from nwidth.surrogates.training.schedules import one_cycle


def snapshots(count=40, **changes):
    """u(t) = sin(t x) at 12 points."""
    t = np.linspace(0.5, 2.0, count)
    fields = np.sin(t[:, None] * np.linspace(0.2, 1.0, 12))
    given = {"parameters": Box(("t",), low=(0.5,), high=(2.0,)), "space": Points((12,)), "mu": {"t": t}}
    return Snapshots(**given, fields=fields, **changes)


def setup(seed=0):
    """A small network with dropout (so that torch's own random numbers matter), and its samples."""
    data = snapshots()
    encode = Encoding.of(data).samples
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Dropout(0.05), nn.Linear(16, 12), nn.Unflatten(1, (1, 12)))
    return module, Samples(data, encode, np.arange(0, 40, 2)), Samples(data, encode, np.arange(1, 40, 8))


class KilledError(Exception):
    """Stands for a kill."""


def losing_power(after):
    """A loss that ends the process, so to speak, at its call number `after`."""
    calls = iter(range(after))
    loss = relative_lp(2)

    def interrupted(v, u):
        if next(calls, None) is None:
            raise KilledError
        return loss(v, u)

    return interrupted


CONFIG = Training(epochs=6, batch=8, rate=2e-2)


def test_training_reduces_the_loss():
    module, samples, validation = setup()
    history = train(module, samples, validation, relative_lp(2), Training(epochs=60, batch=8, rate=2e-2))
    assert history.validation[0] > 0.3
    assert history.best < 0.06
    assert history.ended == "epochs" and len(history.train) == 60


def test_the_module_ends_in_its_best_state():
    module, samples, validation = setup()
    scripted, states = iter([0.5, 0.3, 0.4, 0.35]), []

    def loss(v, u):
        if torch.is_grad_enabled():
            return relative_lp(2)(v, u)
        states.append([p.detach().clone() for p in module.parameters()])
        return torch.full((len(v),), next(scripted))

    history = train(module, samples, validation, loss, Training(epochs=4, batch=8))
    assert history.best_epoch == 1 and history.best == pytest.approx(0.3)
    for found, best, last in zip(module.parameters(), states[1], states[3], strict=True):
        torch.testing.assert_close(found, best, rtol=0, atol=0)
        assert not torch.equal(best, last)


def test_equal_seeds_give_equal_losses_and_others_do_not():
    histories = []
    for seed in (3, 3, 4):
        module, samples, validation = setup()
        histories.append(train(module, samples, validation, relative_lp(2), CONFIG, seed=seed))
    assert histories[0].train == histories[1].train and histories[0].validation == histories[1].validation
    assert histories[0].train != histories[2].train


def test_every_epoch_has_an_order_of_its_own():
    module, samples, validation = setup()
    seen = []

    def loss(v, u):
        if torch.is_grad_enabled():
            seen.extend(u[:, 0, -1].tolist())
        return relative_lp(2)(v, u)

    train(module, samples, validation, loss, Training(epochs=2, batch=8))
    first, second = seen[: len(samples)], seen[len(samples) :]
    assert sorted(first) == sorted(second) and first != second


def test_training_leaves_the_random_state_of_torch_alone():
    module, samples, validation = setup()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(module, samples, validation, relative_lp(2), CONFIG)
    torch.testing.assert_close(torch.rand(3), expected)


def test_pieces_of_a_batch_give_the_same_training():
    losses = []
    for piece in (None, 3):
        module, samples, validation = setup()
        module[2].p = 0.0  # dropout draws per piece
        losses.append(train(module, samples, validation, relative_lp(2), CONFIG, piece=piece).train)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.parametrize("calls", [4, 8, 17])
def test_an_interrupted_training_continues_to_the_same_losses(tmp_path, calls):
    module, samples, validation = setup()
    whole = train(module, samples, validation, relative_lp(2), CONFIG, seed=1)

    module, samples, validation = setup()
    run = Run(workdir=tmp_path / "work")
    with pytest.raises(KilledError):
        train(module, samples, validation, losing_power(calls), CONFIG, seed=1, run=run)
    module, samples, validation = setup()
    resumed = train(module, samples, validation, relative_lp(2), CONFIG, seed=1, run=run)
    assert resumed.train == whole.train and resumed.validation == whole.validation
    assert resumed.best_epoch == whole.best_epoch


def test_a_finished_training_is_not_repeated(tmp_path):
    run = Run(workdir=tmp_path)
    module, samples, validation = setup()
    train(module, samples, validation, relative_lp(2), CONFIG, run=run)
    again, samples, validation = setup()
    train(again, samples, validation, losing_power(0), CONFIG, run=run)
    for p, q in zip(module.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)


def test_a_work_directory_of_another_training_is_refused(tmp_path):
    module, samples, validation = setup()
    train(module, samples, validation, relative_lp(2), CONFIG, run=Run(workdir=tmp_path))
    for seed, config in ((1, CONFIG), (0, Training(epochs=7, batch=8, rate=2e-2))):
        module, samples, validation = setup()
        with pytest.raises(InputError, match="other settings, data or seed"):
            train(module, samples, validation, relative_lp(2), config, seed=seed, run=Run(workdir=tmp_path))


def test_a_damaged_checkpoint_is_an_input_error(tmp_path):
    module, samples, validation = setup()
    train(module, samples, validation, relative_lp(2), CONFIG, run=Run(workdir=tmp_path))
    data = (tmp_path / NAME).read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"not a checkpoint"):
        (tmp_path / NAME).write_bytes(damaged)
        module, samples, validation = setup()
        with pytest.raises(InputError, match="is damaged"):
            train(module, samples, validation, relative_lp(2), CONFIG, run=Run(workdir=tmp_path))


def test_a_loss_that_is_not_finite_names_the_step_and_what_to_try():
    factors = iter([1.0, 1.0, float("nan")])

    def loss(v, u):
        return relative_lp(2)(v, u) * next(factors)

    module, samples, validation = setup()
    with pytest.raises(WorkError, match=r"nan at epoch 1, step 3 of 3 .*smaller learning rate"):
        train(module, samples, validation, loss, CONFIG)


def test_a_validation_loss_that_is_not_finite_stops_too():
    module, samples, validation = setup()

    def loss(v, u):
        return relative_lp(2)(v, u) / (1.0 if torch.is_grad_enabled() else 0.0)

    with pytest.raises(WorkError, match="validation loss is inf at epoch 1"):
        train(module, samples, validation, loss, CONFIG)


def test_patience_ends_training_early():
    module, samples, validation = setup()
    constant = iter([0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4])

    def loss(v, u):
        value = relative_lp(2)(v, u)
        return value if torch.is_grad_enabled() else value * 0 + next(constant)

    history = train(module, samples, validation, loss, Training(epochs=8, batch=20, rate=1e-3, patience=3))
    assert history.ended == "patience"
    assert len(history.train) == 5 and history.best_epoch == 1


def test_a_budget_ends_training_in_good_order(monkeypatch):
    """Before the time is up, the learning rate has gone through its whole cycle."""
    rates = []

    def watched(progress, rate):
        rates.append(one_cycle(progress, rate))
        return rates[-1]

    monkeypatch.setattr("nwidth.surrogates.training.loop.SCHEDULES", {"one-cycle": watched})
    module, samples, validation = setup()
    config = Training(epochs=100_000, batch=8, rate=2e-2)
    history = train(module, samples, validation, relative_lp(2), config, run=Run(budget=0.5))
    assert history.ended == "budget" and 1 <= len(history.train) < 100_000
    assert history.seconds >= 0.5
    assert max(rates) > 0.99 * config.rate and rates[-1] < 0.05 * config.rate


def test_the_thread_count_is_set_and_given_back():
    module, samples, validation = setup()
    before, seen = torch.get_num_threads(), []

    def loss(v, u):
        seen.append(torch.get_num_threads())
        return relative_lp(2)(v, u)

    train(module, samples, validation, loss, CONFIG, run=Run(threads=before + 1))
    assert set(seen) == {before + 1} and torch.get_num_threads() == before


def test_the_progress_bar_shows_losses(capsys):
    module, samples, validation = setup()
    train(module, samples, validation, relative_lp(2), Training(epochs=2, batch=8), run=Run(progress=True))
    shown = capsys.readouterr()
    assert shown.out == "" and "epoch 2/2" in shown.err and "validation" in shown.err


@pytest.mark.parametrize(
    "wrong", [{"epochs": -1}, {"batch": 0}, {"rate": 0.0}, {"validation": 1.0}, {"loss": "h2"}, {"patience": 0}]
)
def test_impossible_settings_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"training: {name} is"):
        Training(**wrong)


def test_the_loader_gives_every_usable_sample_once():
    status = np.full(40, Status.CONVERGED)
    status[[3, 17]] = Status.FAILED
    data = snapshots(status=status)
    batches = data.loader("cpu", 7)
    assert len(batches) == 6
    for _ in range(2):  # again and again
        x, y = (torch.cat(part) for part in zip(*batches, strict=True))
        good = np.delete(np.arange(40), [3, 17])
        np.testing.assert_allclose(x[:, 0], data.mu["t"][good], rtol=1e-6)
        np.testing.assert_allclose(y[:, 0], data.fields[good], rtol=1e-6)
    shuffled = loader(data, batch_size=38, seed=0)
    first, second = (next(iter(shuffled.epoch(n)))[0][:, 0] for n in (0, 1))
    assert not torch.equal(first, second) and torch.equal(first.sort().values, second.sort().values)
    with pytest.raises(InputError, match="batch_size is 0"):
        data.loader("cpu", 0)


def test_samples_that_do_not_fit_in_memory_are_read_batch_by_batch(tmp_path, monkeypatch):
    stored = save_snapshots(snapshots(), tmp_path / "runs.zarr")
    expected = snapshots().loader("cpu", 7)
    monkeypatch.setattr("nwidth.surrogates.training.samples.RESIDENT", 0)
    for (x, y), (expected_x, expected_y) in zip(stored.loader("cpu", 7), expected, strict=True):
        torch.testing.assert_close(x, expected_x)
        torch.testing.assert_close(y, expected_y)


def test_values_that_are_not_finite_are_found():
    data = snapshots()
    data.fields[5, 3] = np.nan
    with pytest.raises(InputError, match="fields: row 5"):
        data.loader("cpu", 8)
