"""A process's one log."""

import logging

from absl import logging as absl_logging


def log_only_to(handler: logging.Handler) -> None:
    """Sends all that is logged in this process, and warnings, to a handler and nowhere else."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # absl brings a handler of its own, which would write a second copy to stderr.
    absl = logging.getLogger("absl")
    absl.handlers[:] = []
    absl.propagate = True
    # Saving a model, TensorFlow sets absl back to what absl itself was told: by default warnings.
    absl_logging.set_verbosity(absl_logging.INFO)
