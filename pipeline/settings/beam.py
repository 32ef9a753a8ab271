"""Where a stage's Beam work is done: what stands under ``beam:``, by node.

A runner hands work to workers; on all but ``direct`` these are processes elsewhere, which must find
this project's code. ``environment`` says how they are started and where the code comes from.
"""

from typing import Annotated, Literal

import pydantic

from pipeline.settings.fields import FROZEN, Count, Switch, Text, Workers, matching

Address = Annotated[str, matching(r"[^\s/:]+:\d+", "expected an address such as 'flink-jobs:8099'")]
Bucket = Annotated[
    str, matching(r"gs://[^/].*", "expected a bucket of Google Cloud Storage: 'gs://bucket/folder'")
]


class Docker(pydantic.BaseModel):
    """A container for each worker.

    ``image`` has Beam's ``boot`` and this project (``infra/image/build.sh --beam``); left out, it
    is the node's own image. With ``setup_file`` it is Beam's stock image, or another without the
    project: the project is sent there as a source package, which ``setup.py`` makes, and installed
    with all its dependencies whenever a worker starts, which takes minutes.
    """

    model_config = FROZEN

    kind: Literal["docker"] = "docker"
    image: Text | None = None
    setup_file: Switch = False


class External(pydantic.BaseModel):
    """Workers that run already, such as a container of this project beside each TaskManager.

    ``address`` is where Beam's worker pool listens, as each machine that gives out work sees it.
    """

    model_config = FROZEN

    kind: Literal["external"]
    address: Address


class Loopback(pydantic.BaseModel):
    """Workers inside the process that starts the job: for trying a runner."""

    model_config = FROZEN

    kind: Literal["loopback"]


Environment = Annotated[Docker | External | Loopback, pydantic.Field(discriminator="kind")]


class Direct(pydantic.BaseModel):
    """The stage's own machine. ``workers`` are processes; left out, ``run.beam_workers``."""

    model_config = FROZEN

    runner: Literal["direct"] = "direct"
    workers: Workers | None = None


class Portable(pydantic.BaseModel):
    """Any runner behind Beam's job service.

    ``artifact_endpoint`` is where packages are sent; left out, where the job service says.
    ``parallelism`` is how many workers each machine starts.
    """

    model_config = FROZEN

    runner: Literal["portable"]
    job_endpoint: Address
    artifact_endpoint: Address | None = None
    parallelism: Count = 1
    environment: Environment = Docker()


class Spark(Portable):
    """Spark, through Beam's job server for it."""

    runner: Literal["spark"]  # type: ignore[assignment]


class Flink(pydantic.BaseModel):
    """Flink, through its own REST API: the job is sent as one jar, so that no job server is needed.

    ``job_server_jar`` is Beam's jar for that Flink, a file or a URL; left out, Beam downloads it
    from Maven. ``parallelism`` is that of the job; left out, Flink's own default.
    """

    model_config = FROZEN

    runner: Literal["flink"]
    master: Address
    version: Annotated[str, matching(r"\d+\.\d+", "expected Flink's version in quotes: '1.19'")]
    job_server_jar: Text | None = None
    parallelism: Count | None = None
    environment: Environment = Docker()


class Dataflow(pydantic.BaseModel):
    """Google Cloud Dataflow.

    ``image`` and ``setup_file`` are as for Docker. ``temp_location`` takes what is staged.
    """

    model_config = FROZEN

    runner: Literal["dataflow"]
    project: Text
    region: Text
    temp_location: Bucket
    image: Text | None = None
    setup_file: Switch = False
    machine_type: Text | None = None
    max_workers: Count | None = None
    service_account: Text | None = None
    subnetwork: Text | None = None
    public_ips: Switch = True


Runner = Annotated[
    Direct | Portable | Spark | Flink | Dataflow, pydantic.Field(discriminator="runner")
]
