"""The optimisers that `Training.optimiser` names, each as a list of torch optimisers that step together."""

from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import AdamW, Optimizer

from nwidth.core.kinds import load_attribute
from nwidth.surrogates.training.config import Training
from nwidth.surrogates.training.muon import Muon, as_matrices

#: Axes of a parameter with more entries than this are not preconditioned by SOAP (its matrices would be larger than
#: what they help: the frequencies of spectral weights, mostly).
SOAP_LIMIT = 256
#: Matrices with fewer rows or columns are left to AdamW: lifts from, and projections to, a few channels.
SMALLEST = 4


def optimisers_for(config: Training, module: nn.Module) -> list[Optimizer]:
    """Optimisers for all parameters of a module that are to be trained.

    Raises InputError where the package of one is missing (SOAP: the extra `neural`).
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    if config.optimiser == "adamw":
        return [AdamW(trained, lr=config.rate, weight_decay=config.decay)]
    if config.optimiser == "soap":
        return [_soap(config, trained)]
    return _muon(config, module, trained)


def _soap(config: Training, trained: list[nn.Parameter]) -> Optimizer:
    """SOAP of pytorch-optimizer with its own defaults; bias vectors are trained as by Adam."""
    soap = load_attribute("pytorch_optimizer:SOAP")
    optimiser: Optimizer = soap(
        trained, lr=config.rate, weight_decay=config.decay, max_precondition_dim=SOAP_LIMIT, precondition_frequency=10
    )
    return optimiser


def _muon(config: Training, module: nn.Module, trained: list[nn.Parameter]) -> list[Optimizer]:
    """Muon for stacks of matrices and kernels of convolutions, AdamW for everything else."""
    kernels = {m.weight for m in module.modules() if isinstance(m, _ConvNd)}
    flat = [p for p in trained if p in kernels and _is_matrix(p, flat=True)]
    stacks = [p for p in trained if p not in kernels and _is_matrix(p, flat=False)]
    taken = {*flat, *stacks}
    rest = [p for p in trained if p not in taken]
    groups: list[dict[str, Any]] = [{"params": stacks}, {"params": flat, "flat": True}]
    used = [group for group in groups if group["params"]]
    chosen: list[Optimizer] = [Muon(used, lr=config.rate, weight_decay=config.decay)] if used else []
    return [*chosen, AdamW(rest, lr=config.rate, weight_decay=config.decay)] if rest else chosen


def _is_matrix(parameter: nn.Parameter, flat: bool) -> bool:
    return parameter.ndim >= 2 and min(as_matrices(parameter, flat).shape[-2:]) >= SMALLEST
