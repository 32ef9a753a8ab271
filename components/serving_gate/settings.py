"""Settings of the gate: what stands under ``serving: gate:`` in settings.yaml."""

from typing import Annotated

import pydantic

from components.ingest.fields import FROZEN, Count

# As TFX's InfraValidator leaves them, so that its readers understand ours.
BLESSED, NOT_BLESSED = "INFRA_BLESSED", "INFRA_NOT_BLESSED"

Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class ServingBudget(pydantic.BaseModel):
    """What a candidate must do when it is served on this machine, before users get it.

    Attributes:
      rate: requests a second, each of one example, that leave whether or not earlier ones were
        answered.
      seconds: for how long.
      tries: how often at most, if it is too slow: other work on the machine can only slow it down,
        so the best try tells most of the candidate.
      max_errors: the share of requests that may fail.
      memory_mb: what the server may use at most, resident, in MiB.
      examples: how many examples of the evaluation split are asked for and compared.
      tolerance: by how much an answer may differ from the model called in process, relative to
        its size.
      start_seconds: how long loading and warming up may take.
    """

    model_config = FROZEN

    rate: Positive = 100.0
    seconds: Positive = 5.0
    tries: Count = 3
    max_errors: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    memory_mb: Positive = 4_096.0
    examples: Count = 200
    tolerance: Positive = 1e-4
    start_seconds: Positive = 120.0


class GateSettings(ServingBudget):
    """What the component is given: the budget, the model's name and the latency it promises."""

    model: str
    latency_p99_ms: Positive = 50.0
