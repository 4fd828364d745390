"""The code of the page on operators in time runs, and what it computes is checked."""

import numpy as np
import pytest
from tests.test_docs import blocks, run


@pytest.fixture(scope="module")
def page():
    return run(blocks("operators/evolution.md"))


def relative(found, truth):
    truth = np.asarray(truth)
    return np.linalg.norm(found - truth, axis=-1).mean() / np.linalg.norm(truth, axis=-1).mean()


def test_trajectories_are_close(page):
    test = page["test"]
    assert relative(page["answer"].field, test.fields) < 0.15
    assert page["longer"].predict(test.mu).field.shape == (30, 3, 32)
    assert relative(page["jump"].predict(test.mu).field, test.fields) < 0.3


def test_frames_are_a_start(page):
    part = page["part"]
    assert part.mu["frames"].shape == (60, 2, 32) and np.allclose(part.times, [0.3, 0.4])
    assert relative(page["from_frames"].predict(part.mu).field, part.fields) < 0.3


def test_times_between_are_close_to_their_neighbours(page):
    assert page["between"].field.shape == (30, 3, 32)
    middle = np.asarray(page["test"].fields)[:, :3].mean(axis=1)
    assert relative(page["between"].field[:, 1], middle) < 0.4


def test_limits_and_numbers(page):
    limits, test = page["limits"], page["test"]
    assert limits.shape == (30, 4) and (limits > 0).all()
    distance = np.sqrt(np.mean((page["answer"].field - test.fields) ** 2, axis=2))
    assert (distance <= limits).mean() > 0.7
    truth = np.mean(np.asarray(test.fields)[:, -1] ** 2, axis=1)
    assert np.corrcoef(page["numbers"], truth)[0, 1] > 0.8
