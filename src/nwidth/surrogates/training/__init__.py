"""Training of torch modules: AdamW with a one-cycle schedule, validation, checkpoints, early stop."""

from nwidth.surrogates.training.config import Training
from nwidth.surrogates.training.encoding import Encoding
from nwidth.surrogates.training.history import History
from nwidth.surrogates.training.loader import Loader, loader
from nwidth.surrogates.training.loop import train
from nwidth.surrogates.training.losses import relative_h1, relative_lp
from nwidth.surrogates.training.samples import Samples

__all__ = ["Encoding", "History", "Loader", "Samples", "Training", "loader", "relative_h1", "relative_lp", "train"]
