"""The boundary between NumPy and torch copies, keeps bits, and refuses what would lose information."""

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.core.tensors import load_state_arrays, state_arrays, to_array, to_tensor


def test_arrays_and_tensors_do_not_share_memory():
    for array in (np.ones((2, 3)), np.ones((2, 3))[:, ::-1]):
        tensor = to_tensor(array, dtype=torch.float64)
        tensor[0, 0] = 5
        assert (array == 1).all()
    back = to_array(tensor)
    back[1, 1] = 7
    assert tensor[1, 1] == 1 and back.dtype == np.float64


def test_complex_values_are_refused():
    with pytest.raises(InputError, match="two real channels"):
        to_tensor(np.ones(2, dtype=complex))


def test_states_come_back_bit_for_bit_or_not_at_all():
    source, target = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    load_state_arrays(target, state_arrays(source))
    assert torch.equal(source.weight, target.weight) and source.weight is not target.weight
    with pytest.raises(InputError, match="do not fit Linear"):
        load_state_arrays(torch.nn.Linear(4, 2), state_arrays(source))
    with pytest.raises(InputError, match="do not fit Linear"):
        load_state_arrays(target, {"weight": state_arrays(source)["weight"]})
