"""Files of transformed examples, opened and parsed by many at once."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tfx_bsl.public import tfxio

CHUNK = 1024
"""Rows that are parsed together, all of one file."""
FILES_AT_ONCE = 8
"""Files whose chunks alternate, so that a block holds rows of several."""


class Files:
    """Files of transformed examples.

    Args:
      patterns: of their names.
      accessor: the component's data accessor.
      schema: of the examples.
      cache: a folder of this machine that keeps what was parsed once; "" for none.

    Attributes:
      names: sorted.
    """

    def __init__(
        self, patterns: Sequence[str], accessor: Any, schema: Any, cache: str = ""
    ) -> None:
        found = {name for pattern in patterns for name in tf.io.gfile.glob(pattern)}
        self.names = sorted(found)
        self._accessor, self._schema, self._cache = accessor, schema, cache

    def chunks(self, names: tf.Tensor) -> tf.data.Dataset:
        """Columns of up to CHUNK rows and the file's name, in an order that no machine changes.

        Args:
          names: of files, string [n].
        """
        options = tfxio.TensorFlowDatasetOptions(batch_size=CHUNK, num_epochs=1, shuffle=False)

        def opened(name: tf.Tensor) -> tf.data.Dataset:
            parsed = self._accessor.tf_dataset_factory([name], options, self._schema)
            if self._cache:
                key = tf.strings.as_string(tf.strings.to_hash_bucket_fast(name, 1 << 62))
                parsed = parsed.cache(tf.strings.join([self._cache, "/", key]))
            return parsed.map(lambda columns: (name, columns))

        return tf.data.Dataset.from_tensor_slices(names).interleave(
            opened,
            cycle_length=FILES_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
