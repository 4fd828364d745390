"""Training of torch modules: losses, optimisers, schedules, validation, checkpoints, early stop."""

from nwidth.surrogates.training.config import Training
from nwidth.surrogates.training.encoding import Encoding
from nwidth.surrogates.training.history import History
from nwidth.surrogates.training.loader import Loader, loader
from nwidth.surrogates.training.loop import train
from nwidth.surrogates.training.losses import loss_for, relative_h1, relative_lp
from nwidth.surrogates.training.samples import Samples

__all__ = [
    "Encoding",
    "History",
    "Loader",
    "Samples",
    "Training",
    "loader",
    "loss_for",
    "relative_h1",
    "relative_lp",
    "train",
]
