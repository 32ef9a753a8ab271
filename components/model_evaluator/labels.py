"""What TFMA is told beside its configuration."""

from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma


def custom_extractors(
    eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any
) -> list[Any]:
    """TFMA's own extractors, and integer class labels read as text.

    A multiclass model answers with its classes' names (``all_classes``), which TFMA looks text
    labels up in; an integer label it would take for a place among them.
    """
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    places = [i for i, e in enumerate(extractors) if e.stage_name == "ExtractPredictions"]
    name_classes = tfma.extractors.Extractor(
        stage_name="NameClasses",
        ptransform=beam.Map(_name_classes),
    )
    extractors.insert(places[-1] + 1, name_classes)
    return list(extractors)


def _name_classes(extracts: dict[str, Any]) -> dict[str, Any]:
    if not _has_classes(extracts.get(tfma.PREDICTIONS_KEY)):
        return extracts
    return {**extracts, tfma.LABELS_KEY: _text(extracts[tfma.LABELS_KEY])}


def _has_classes(predictions: Any) -> bool:
    if isinstance(predictions, dict):
        return "all_classes" in predictions or any(map(_has_classes, predictions.values()))
    return False


def _text(labels: Any) -> Any:
    if isinstance(labels, dict):
        return {name: _text(values) for name, values in labels.items()}
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return labels.astype(str).astype("S").astype(object)
    return labels
