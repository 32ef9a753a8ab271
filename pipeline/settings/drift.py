"""What stands under ``monitoring: drift:``: how far what is served may move, and what then."""

import fnmatch
from typing import Annotated, Literal

import pydantic

from components.ingest.durations import Duration, SignedDuration, parse_duration
from pipeline.settings.fields import FROZEN, Count, Number, Text

Share = Annotated[Number, pydantic.Field(ge=0, le=1)]


class Drift(pydantic.BaseModel):
    """What `python -m pipeline monitor` looks at and what it allows.

    Distances are TFDV's, 0 to 1. On top of each comes what chance explains, so that they mean the
    same for few requests and for many.

    Attributes:
      window: how much time is looked at; what lies as long before is what drift is measured from.
      skew: allowed Jensen-Shannon divergence of numbers from training.
      drift: likewise from the stretch before, where each entity is beside itself.
      categorical: allowed L-infinity distance of text, from either.
      prediction: allowed divergence of the model's answers, from either.
      features: allowed distance by feature, from either, globs allowed; the first that fits counts.
      ignore: features that are not looked at, globs allowed.
      missing: by how much the share of rows without a value may rise.
      unseen: the share of values that training never saw.
      out_of_range: the share of numbers outside the schema's range.
      min_examples: with fewer nothing is said but that; nor of a feature with fewer values.
      min_entities: likewise.
      max_examples: of more, so many requests are drawn at random.
      label_tolerance: how much older than a prediction the spine's row may be whose label is its
        truth; 0s asks for a row at that very time.
      retrain: what is done where something moved: ``run`` here, ``submit`` to Kubeflow or Vertex
        AI, or nothing.
      retrain_every: how much time lies at least between two retrains.
    """

    model_config = FROZEN

    window: Duration = parse_duration("7d")
    skew: Share = 0.1
    drift: Share = 0.075
    categorical: Share = 0.1
    prediction: Share = 0.1
    features: dict[Text, Share] = {}
    ignore: list[Text] = []
    missing: Share = 0.1
    unseen: Share = 0.01
    out_of_range: Share = 0.01
    min_examples: Count = 200
    min_entities: Count = 5
    max_examples: Count = 20_000
    label_tolerance: Annotated[SignedDuration, pydantic.Field(ge=0)] = 0
    retrain: Literal["no", "run", "submit"] = "no"
    retrain_every: Duration = parse_duration("7d")

    def ignores(self, feature: str) -> bool:
        """Whether a feature is not to be looked at."""
        return any(fnmatch.fnmatchcase(feature, pattern) for pattern in self.ignore)

    def allowed(
        self, what: Literal["skew", "drift"], feature: str, kind: Literal["numeric", "categorical"]
    ) -> float:
        """The distance that a feature may move."""
        for pattern, most in self.features.items():
            if fnmatch.fnmatchcase(feature, pattern):
                return most
        if kind == "categorical":
            return self.categorical
        return self.skew if what == "skew" else self.drift
