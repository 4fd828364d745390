"""One process of the speed benchmark: both contestants in turn, or the peak memory of one. Prints JSON.

Its own process because an allocator is chosen before a process starts, and because memory is measured from a clean
beginning.
"""

import argparse
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from neuralop.models import FNO
from torch import Tensor, nn

from nwidth.operators.peer import from_neuraloperator

warnings.filterwarnings("ignore")
_MODES, _WIDTH, _LAYERS, _BATCH = 16, 32, 4, 16


def pair(seed: int) -> dict[str, nn.Module]:
    """neuraloperator's FNO and the same function."""
    torch.manual_seed(seed)
    theirs = FNO(n_modes=(_MODES, _MODES), in_channels=1, out_channels=1, hidden_channels=_WIDTH, n_layers=_LAYERS)
    return {"theirs": theirs, "ours": from_neuraloperator(theirs)}


def forward(network: nn.Module, x: Tensor, split: int) -> None:
    """Answers, nothing kept."""
    with torch.no_grad():
        for part in x.chunk(split):
            network(part)


def both(network: nn.Module, x: Tensor, split: int) -> None:
    """Answers and gradients of all parameters, summed over the pieces."""
    for parameter in network.parameters():
        parameter.grad = None
    for part in x.chunk(split):
        network(part).square().mean().backward()


def race(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in turn, wall clock."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """All splits a few times, then the best ones in turn."""
    networks = pair(options.seed)
    x = torch.randn(_BATCH, 1, options.grid, options.grid)
    result: dict[str, Any] = {}
    for work in (forward, both):
        calls = {
            f"{who} {split}": lambda who=who, split=split, work=work: work(networks[who], x, split)
            for split in options.splits
            for who in networks
        }
        coarse = {name: min(times) for name, times in race(calls, options.coarse).items()}
        best = {who: min((n for n in coarse if n.startswith(who)), key=coarse.__getitem__) for who in networks}
        kept = {*best.values(), "theirs 1"} & set(calls)  # the whole batch at once is how it is shipped
        fine = race({name: calls[name] for name in sorted(kept)}, options.rounds)
        result[work.__name__] = {"coarse": coarse, "best": best, "seconds": fine}
    return result | {"differences": differences(networks, x[:4])}


def differences(networks: dict[str, nn.Module], x: Tensor) -> dict[str, float]:
    """Relative differences of answers and of gradients for the input."""
    answers, slopes = [], []
    for network in networks.values():
        given = x.clone().requires_grad_()
        answer = network(given)
        answer.square().sum().backward()
        answers.append(answer.detach())
        slopes.append(given.grad)
    return {
        name: float((a - b).norm() / a.norm()) for name, (a, b) in {"answers": answers, "gradients": slopes}.items()
    }


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Megabytes above the beginning at the peak of one forward and backward pass."""
    network = pair(options.seed)[options.who]
    both(network, torch.randn(2, 1, 20, 20), 1)
    both(network, torch.randn(2, 1, 20, 20), 1)
    x = torch.randn(_BATCH, 1, options.grid, options.grid)
    before = _resident("VmRSS")
    reset = _reset_peak()
    both(network, x, options.splits[0])
    peak = _resident("VmHWM") if reset else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"before": before, "peak": peak, "megabytes": peak - before, "reset": reset}


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(which: str) -> float:
    """Megabytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return float(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    """`speed` or `memory`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--grid", type=int, default=64)
    parser.add_argument("--splits", type=int, nargs="+", default=[1])
    parser.add_argument("--who", default="ours")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--coarse", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    json.dump(speed(options) if options.what == "speed" else memory(options), sys.stdout)


if __name__ == "__main__":
    main()
