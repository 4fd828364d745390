"""The processes that train together: one, or those that torchrun starts."""

import os

import torch


def own_device(device: str | torch.device) -> torch.device:
    """The device of this process: 'cuda' is the GPU with the number that torchrun gave it."""
    chosen = torch.device(device)
    if chosen.type == "cpu" or chosen.index is not None or "LOCAL_RANK" not in os.environ:
        return chosen
    return torch.device(chosen.type, int(os.environ["LOCAL_RANK"]))
