"""Makes a registered model of MLflow equal to a release record."""

import datetime
import math
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serving.folders import content_fingerprint
from serving.registry.settings import Registry
from serving.releases import CANARY, STABLE, Releases, Status, Version

CHAMPION, CHALLENGER = "champion", "challenger"
PRUNED = "pruned"
_PREFIX = "release."
_FINGERPRINT = f"{_PREFIX}fingerprint"
_WARNING = (
    "Mirrored from a release record, which is the truth: what is changed here is changed back."
)
_MOST_WORDS = 1_000
_SQLITE = "sqlite:///"


def mirror(releases: Releases, client: Any, registry: Registry) -> dict[str, int]:
    """Makes the registered model equal to the record; does nothing where it is.

    Releases are told from each other by their content's fingerprint, in the tag
    ``release.fingerprint``: MLflow counts versions by itself. It may be stopped at any moment and
    called again.

    Args:
      releases: the record.
      client: an ``mlflow.MlflowClient``.
      registry: the registered model's name and the like.

    Returns:
      By alias, the release it stands on.

    Raises:
      mlflow.exceptions.MlflowException: if MLflow refuses or does not answer.
      serving.releases.ReleaseError: if the record is unreadable.
    """
    name = registry.model or releases.folder.name
    aliases = _registered_model(client, name)
    known = {found.tags.get(_FINGERPRINT): found for found in _model_versions(client, name)}
    # In this order a version that is pushed meanwhile is not half seen; its own mirror follows.
    versions, statuses, trial = releases.versions(), releases.statuses(), releases.trial()
    numbers: dict[str, int] = {}
    for version in versions:
        if version.number not in statuses:
            continue  # Pruned meanwhile.
        fingerprint = version.fingerprint or content_fingerprint(version.path)
        numbers[fingerprint] = version.number
        if fingerprint not in known:
            known[fingerprint] = _register(client, name, version, fingerprint, registry)
    for number, status in statuses.items():
        if status.fingerprint:  # Quarantined ones stay known when their folder is gone.
            numbers.setdefault(status.fingerprint, number)
    for fingerprint, found in known.items():
        tags = {_FINGERPRINT: fingerprint, f"{_PREFIX}state": PRUNED}
        if fingerprint in numbers:
            tags |= _tags(numbers[fingerprint], statuses[numbers[fingerprint]])
        elif f"{_PREFIX}version" in found.tags:
            tags[f"{_PREFIX}version"] = found.tags[f"{_PREFIX}version"]
        _set_tags(client, found, tags)
    stable = next((n for n, status in statuses.items() if status.state == STABLE), None)
    wanted = {CHAMPION: stable, CHALLENGER: trial[0] if trial else None}
    places = {numbers[f]: found.version for f, found in known.items() if f in numbers}
    return _set_aliases(client, name, aliases, wanted, places)


def _registered_model(client: Any, name: str) -> dict[str, str]:
    """Makes it if need be; returns its aliases."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(client.get_registered_model(name).aliases)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    client.create_registered_model(name, description=_WARNING)
    return {}


def _model_versions(client: Any, name: str) -> Iterator[Any]:
    """The model versions that are ours: those with a fingerprint."""
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        yield from (found for found in page if _FINGERPRINT in found.tags)
        token = page.token
        if not token:
            return


def _register(
    client: Any, name: str, version: Version, fingerprint: str, registry: Registry
) -> Any:
    uri = registry.uri()
    run = _run(client, registry.experiment or name, uri, version, fingerprint)
    if registry.log_artifacts:
        client.log_artifacts(run.info.run_id, str(version.path), "model")
        source = f"{run.info.artifact_uri}/model"
    else:
        source = _place(version.path, uri)
    return client.create_model_version(
        name, source, run.info.run_id, tags={_FINGERPRINT: fingerprint}, description=_about(version)
    )


def _place(path: Path, uri: str) -> str:
    """Where a version's files lie.

    A server refuses a path, which would be one of its own machine, and schemes by which it would
    connect to a host; one that it does not know is kept as it is.
    """
    absolute = path.absolute()
    return (
        str(absolute) if uri.startswith(_SQLITE) else f"release://{socket.gethostname()}{absolute}"
    )


def _about(version: Version) -> str:
    lineage = version.release.get("lineage", {})
    trained = f", trained on {lineage['train']}" if lineage.get("train") else ""
    return f"Release {version.number}{trained}."


def _run(client: Any, experiment: str, uri: str, version: Version, fingerprint: str) -> Any:
    """The run with the version's metrics and lineage; one that was left half written is mended."""
    from mlflow.entities import Metric, Param

    place = _experiment(client, experiment, uri)
    found = client.search_runs([place], f"tags.`{_FINGERPRINT}` = '{fingerprint}'", max_results=1)
    release = version.release
    lineage = {key: str(told) for key, told in release.get("lineage", {}).items() if told}
    created = _milliseconds(release.get("created"))
    if found:
        run = found[0]
    else:
        tags = {_FINGERPRINT: fingerprint}
        if "commit" in lineage:
            tags["mlflow.source.git.commit"] = lineage["commit"].rstrip("+")
        label = f"release {version.number}"
        run = client.create_run(place, start_time=created, tags=tags, run_name=label)
    metrics = [Metric(key, told, created or 0, 0) for key, told in _numbers(release)]
    params = [Param(key, told) for key, told in lineage.items()]
    if release.get("baseline_version") is not None:
        params.append(Param("baseline_version", str(release["baseline_version"])))
    client.log_batch(run.info.run_id, metrics, params)
    client.set_terminated(run.info.run_id, end_time=created)
    return run


def _experiment(client: Any, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    location = None  # A server has its own; beside a file MLflow would use the working folder.
    if uri.startswith(_SQLITE):
        location = str(Path(uri.removeprefix(_SQLITE)).absolute().parent / "mlflow-artifacts")
    return str(client.create_experiment(name, location))


def _numbers(release: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The evaluation's metrics, the baseline's and what the serving gate measured."""
    served = release.get("gates", {}).get("serving gate", {})
    for prefix, told in (
        ("", release.get("metrics", {})),
        ("baseline.", release.get("baseline_metrics") or {}),
        ("serving_gate.", served.get("measured", {})),
    ):
        for key, value in told.items():
            if isinstance(value, int | float) and math.isfinite(value):
                yield f"{prefix}{key}", float(value)


def _milliseconds(instant: str | None) -> int | None:
    if not instant:
        return None
    told = datetime.datetime.fromisoformat(instant.replace("Z", "+00:00"))
    return int(told.timestamp() * 1_000)


def _tags(number: int, status: Status) -> dict[str, str]:
    told = {"version": str(number), "state": status.state, "since": status.since}
    told |= {"why": status.why[:_MOST_WORDS]}
    if status.state == CANARY:
        told["percent"] = str(status.percent)
    return {f"{_PREFIX}{key}": text for key, text in told.items() if text}


def _set_tags(client: Any, found: Any, wanted: Mapping[str, str]) -> None:
    for key, text in wanted.items():
        if found.tags.get(key) != text:
            client.set_model_version_tag(found.name, found.version, key, text)
    for key in found.tags:
        if key.startswith(_PREFIX) and key not in wanted:
            client.delete_model_version_tag(found.name, found.version, key)


def _set_aliases(
    client: Any,
    name: str,
    now: Mapping[str, str],
    wanted: Mapping[str, int | None],
    places: Mapping[int, str],
) -> dict[str, int]:
    """Moves the aliases; one whose release has no place in MLflow is taken away."""
    stand = {}
    for alias, number in wanted.items():
        place = places.get(number) if number is not None else None
        if place is not None and number is not None:
            stand[alias] = number
            if str(now.get(alias)) != str(place):
                client.set_registered_model_alias(name, alias, place)
        elif alias in now:
            client.delete_registered_model_alias(name, alias)
    return stand
