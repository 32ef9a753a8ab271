"""TFX's data accessor without TFX: tfx_bsl reads the examples, as it does for Trainer itself."""

from collections.abc import Sequence
from typing import Any, NamedTuple

TF_EXAMPLE = "FORMAT_TF_EXAMPLE"


class DataAccessor(NamedTuple):
    """The fields of ``tfx.components.DataAccessor`` that serialized tf.Examples have."""

    tf_dataset_factory: Any
    record_batch_factory: Any
    data_view_decode_fn: None = None


def data_accessor(payload_format: str) -> DataAccessor:
    """What opens files of examples, as ``tfx.components.util.tfxio_utils`` makes it.

    Args:
      payload_format: the examples' payload format.

    Raises:
      ValueError: if it is another than FORMAT_TF_EXAMPLE.
    """
    if payload_format != TF_EXAMPLE:
        raise ValueError(
            f"the examples' payload is {payload_format}: workers read {TF_EXAMPLE}, which "
            "Transform writes. Train with training.strategy none, auto, mirrored or tpu"
        )

    def opened(patterns: Sequence[str], schema: Any) -> Any:
        from tfx_bsl.tfxio.tf_example_record import TFExampleRecord

        return TFExampleRecord(list(patterns), schema=schema, telemetry_descriptors=["Trainer"])

    return DataAccessor(
        lambda patterns, options, schema: opened(patterns, schema).TensorFlowDataset(options),
        lambda patterns, options, schema: opened(patterns, schema).RecordBatches(options),
    )
