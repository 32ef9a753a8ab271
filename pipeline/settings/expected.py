"""What belongs under a key that is missing."""

import fnmatch

from components.ingest.kinds import kinds
from pipeline.settings.errors import Path


def choice(options: list[str]) -> str:
    """Options as a message shows them: ``'a', 'b' or 'c'``."""
    quoted = [o.lower() if o in ("True", "False") else repr(o) for o in options]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


_BELONGS = {
    "project": "the project's name, as project: {name: plant-failures}",
    "project.name": "what the project is called, such as 'plant-failures'",
    "sources": "the data's sources: a spine and what is joined onto it",
    "sources.*.kind": f"expected {choice(list(kinds()))}",
    "sources.*.query": "a SQL query; it may use :begin, :end and :as_of",
    "sources.*.collection": "the collection that holds the documents",
    "sources.*.measurement": "the measurement that holds the points",
    "sources.*.database": "the database that holds the measurement",
    "sources.*.fields": "the columns: by name a dotted path (mongo), or a list of fields (influx)",
    "sources.*.entity": "the column that says which machine, customer or site a row is about",
    "sources.*.time": "the column that says when",
    "sources.*.time.column": "the column that holds a reading's time",
    "sources.*.path": "where the files lie, such as 'data/telemetry/**/*.jsonl'",
    "sources.*.channels": "the measured quantities, as channels: {temperature: {}}",
    "sources.*.windows": "the windows that readings are summed up over, as "
    "[{size: 3h, every: 1h, aggregate: [mean, std]}]",
    "sources.*.windows.*.size": "how long the window is, such as '3h'",
    "sources.*.windows.*.aggregate": "what the window tells, such as [mean, std, count]",
    "sources.*.partitions.column": "the column by which the query is cut into parts",
    "sources.*.partitions.count": "into how many parts the query is cut",
    "collect.*.kind": "expected 'mqtt' or 'kafka'",
    "collect.*.payload.kind": "expected 'json' or 'number'",
    "collect.*.topics": "the topics to subscribe to, such as [plant/+/readings]",
    "collect.*.address": "the broker's host and port, such as 'broker.plant.example:8883'",
    "collect.*.client_id": "what names the session at the broker, such as 'plant-failures'",
    "collect.*.brokers": "hosts and ports of the cluster, such as ['kafka.plant.example:9092']",
    "collect.*.group": "the consumer group's name, such as 'plant-failures'",
    "label": "what is predicted, as label: {name: fails_within_24h, horizon: 24h}",
    "label.name": "the spine's column that is predicted",
    "split": "how examples part, as split: {by: time, train: 60d, eval: 14d}",
    "split.by": "expected 'time' or 'entity'",
    "split.train": "how much time to train on, such as '60d'",
    "split.eval": "how much time to evaluate on, such as '14d'; "
    "with by: entity, a share such as 0.2",
    "split.window": "how much time before as_of examples come from, such as '60d'",
    "beam.*.runner": "expected 'direct', 'portable', 'spark', 'flink' or 'dataflow'",
    "beam.*.job_endpoint": "where Beam's job service listens, such as 'spark-jobs:8099'",
    "beam.*.master": "where Flink's REST API listens, such as 'flink-jobmanager:8081'",
    "beam.*.version": "Flink's version, such as '1.19'",
    "beam.*.project": "the project of Google Cloud that the job runs in",
    "beam.*.region": "the region that the job runs in, such as 'europe-west4'",
    "beam.*.temp_location": "where files are staged, such as 'gs://bucket/temp'",
    "beam.*.environment.kind": "expected 'docker', 'external' or 'loopback'",
    "beam.*.environment.address": "where Beam's worker pool listens, such as 'localhost:50000'",
    "training.workers.shared": "a folder that all workers share, such as '/mnt/plant/training'",
    "registry.kind": "expected 'mlflow'",
    "kubeflow.image": "the container image that the nodes run in",
    "kubeflow.pipeline_root": "where artifacts lie, such as 'minio://mlpipeline/v2/artifacts'",
    "kubeflow.nodes.*.accelerator.type": "the accelerator's type, such as 'nvidia.com/gpu'",
    "kubeflow.nodes.*.secrets.*.secret": "the name of a Kubernetes secret",
    "kubeflow.nodes.*.secrets.*.key": "the key in that secret",
}


def belongs(path: Path) -> str:
    """Says what belongs under a key, for a message about its absence."""
    plain = ".".join(str(part) for part in path)
    for pattern, text in _BELONGS.items():
        # A star stands for one key or list position, as many patterns differ in depth only.
        if pattern.count(".") == len(path) - 1 and fnmatch.fnmatchcase(plain, pattern):
            return text
    return "a value is needed"
