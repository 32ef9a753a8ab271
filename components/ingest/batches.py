"""Batches of examples whose size does not hang on time."""

from absl import flags
from tfx_bsl.coders import batch_util  # noqa: F401  defines the flag


def fix_batches() -> None:
    """Lets tfx_bsl batch what this process reads from now on by bytes (20 MiB, at most 8,192 rows).

    Otherwise Beam tunes the size by how long batches took. Means and variances, summed batch by
    batch in float32, then differ in their last digits from run to run, and so do the models that
    are trained on them.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    flags.FLAGS.tfxio_use_byte_size_batching = True
