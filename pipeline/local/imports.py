"""Importing TFX in less than half the time."""

import contextlib
import gc
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

# What asks for these does without them: the client of Kubernetes, and Beam.
_UNUSED = (
    "kubernetes_validate",
    "google.cloud.bigquery",
    "google.cloud.bigquery_storage_v1",
    "google.cloud.pubsub",
)

# What imports these names them in annotations, or calls them where no stage does: metrics of texts,
# which load nltk and sacrebleu; InfraValidator's pods, the client of Kubernetes; TFX's own Tuner,
# Keras 3 and scikit-learn.
_LATER = (
    "tensorflow_model_analysis.metrics.bleu",
    "tensorflow_model_analysis.metrics.rouge",
    "tfx.components.infra_validator.model_server_runners.kubernetes_runner",
    "keras_tuner.engine",
    "keras_tuner.engine.base_tuner",
    "keras_tuner.engine.trial",
)


class Later(types.ModuleType):
    """Stands for a module while others are imported, and imports it when it is used after that."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # The import system looks at these.
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is not self:
            return getattr(importlib.import_module(self.__name__), name)
        return sys.modules.get(f"{self.__name__}.{name}", Any)


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Within it, imports find nothing that no stage uses, and no garbage is looked for.

    Importing makes a million objects and hardly any garbage, and the collector looks at all of
    them again and again. What was left out is found again afterwards, by whatever asks for it then.
    """
    absent = dict.fromkeys(_UNUSED) | {name: Later(name) for name in _LATER}
    absent = {name: module for name, module in absent.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    gc.disable()
    try:
        yield
    finally:
        for name, module in absent.items():
            if sys.modules.get(name) is module:
                sys.modules.pop(name, None)
        gc.enable()
        # So that no stage's process has to be the first that looks at them.
        gc.collect()
