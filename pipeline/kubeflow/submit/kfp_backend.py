"""Kubeflow Pipelines as a backend, by its own client."""

import json
import pathlib
import re
import tempfile
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.kubeflow.submit import kfp_states, recurring
from pipeline.kubeflow.submit.backend import Package, Schedule, Snapshot, Uploaded
from pipeline.kubeflow.submit.connect import connect, kfp_client, quiet
from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.retry import found_or_made, is_transient, retried

if TYPE_CHECKING:
    from pipeline.settings.kubeflow import Kubeflow

Answer = TypeVar("Answer")
# kubeflow/pipelines#12497.
_WRITES_TIMES = (2, 16)


class KfpBackend:
    """A server of Kubeflow Pipelines 2.x; the connection is made, and the login tried, at once."""

    def __init__(self, kubeflow: "Kubeflow", stages: Collection[str]) -> None:
        """Connects.

        Args:
          kubeflow: the settings.
          stages: the pipeline's nodes, of which ``look`` tells.

        Raises:
          SubmitError: see ``connect``.
        """
        self._kubeflow = kubeflow
        self._stages = stages
        self._connection = connect(kubeflow)
        self._client_made: Any = None
        version = self._connection.server.version
        self.place = f"Kubeflow Pipelines {version or '2'} at {self._connection.host}"

    @property
    def _client(self) -> Any:
        if self._client_made is None:
            self._client_made = kfp_client(self._kubeflow, self._connection)
        return self._client_made

    @property
    def _namespace(self) -> str | None:
        """Only a server with several users knows namespaces."""
        return self._kubeflow.namespace if self._connection.server.multi_user else None

    def upload(self, package: Package) -> Uploaded:
        """Uploads a new pipeline, or a new version; nothing if these bytes are there already.

        KFP calls a new pipeline's first version like the pipeline, so that the description of each
        version tells its digest, too.
        """
        mark = f"sha256:{package.digest}"
        asked: list[str] = []

        def versions(pipeline_id: str) -> str | None:
            names = [package.version, package.name]
            found = self._client.list_pipeline_versions(
                pipeline_id, page_size=50, filter=_named_in(names)
            )
            for version in found.pipeline_versions or []:
                if mark in (version.description or ""):
                    return str(version.pipeline_version_id)
            return None

        with tempfile.TemporaryDirectory() as folder, quiet():
            file = pathlib.Path(folder) / f"{package.name}.yaml"
            file.write_text(package.text, encoding="utf-8")

            def create() -> None:
                asked.append("pipeline")
                self._client.upload_pipeline(
                    str(file), package.name, description=mark, namespace=self._namespace
                )

            def add() -> None:
                asked.append("version")
                self._client.upload_pipeline_version(
                    str(file), package.version, pipeline_id=pipeline_id, description=mark
                )

            pipeline_id = found_or_made(lambda: self._pipeline(package.name), create)
            version_id = found_or_made(lambda: versions(pipeline_id), add)
        return Uploaded(pipeline_id, version_id, is_new=bool(asked))

    def start(self, package: Package, uploaded: Uploaded, name: str, values: dict[str, Any]) -> str:
        """Creates a run of that name, once."""
        experiment = self._experiment()

        def find() -> str | None:
            runs = self._client.list_runs(experiment_id=experiment, filter=_named_in([name])).runs
            return str(runs[0].run_id) if runs else None

        def create() -> None:
            self._client.run_pipeline(
                experiment,
                name,
                params=values,
                pipeline_id=uploaded.pipeline_id,
                version_id=uploaded.version_id,
                pipeline_root=self._kubeflow.pipeline_root,
                service_account=self._kubeflow.service_account,
            )

        with quiet():
            return found_or_made(find, create)

    def look(self, run_id: str) -> Snapshot:
        """The run's state and its stages'. A session that has ended is begun anew, once."""

        def get() -> Any:
            run = self._client.get_run(run_id)
            if run.run_id is None:
                raise SubmitError(f"{self._connection.host} answers with what is no run")
            return run

        return kfp_states.snapshot(self._renewed(get), self._stages)

    def cancel(self, run_id: str) -> None:
        """Terminates a run."""
        retried(lambda: self._client.terminate_run(run_id))

    def link(self, run_id: str) -> str:
        """The run's page in KFP's own interface."""
        return f"{self._connection.host}/#/runs/details/{run_id}"

    def schedule(
        self, package: Package, uploaded: Uploaded, name: str, cron: str, values: dict[str, Any]
    ) -> Schedule:
        """See ``recurring.ensure``.

        Raises:
          SubmitError: if the server is too old to write a run's time into a value.
        """
        version = self._connection.server.version
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        old = numbers is not None and (int(numbers[1]), int(numbers[2])) < _WRITES_TIMES
        if old and any("[[" in str(value) for value in values.values()):
            raise SubmitError(
                f"Kubeflow Pipelines {version} writes no time into a recurring run's "
                "parameters, which 2.16 does: update it, or schedule submit itself elsewhere"
            )
        wish = recurring.Wish(
            name=name,
            cron=recurring.cron_of_six(cron),
            pipeline_id=uploaded.pipeline_id,
            version_id=uploaded.version_id,
            values=values,
            pipeline_root=self._kubeflow.pipeline_root,
            service_account=self._kubeflow.service_account,
        )
        return recurring.ensure(self._client, self._experiment(), wish)

    def disable(self, name: str) -> int:
        """See ``recurring.disable``."""
        return recurring.disable(self._client, self._experiment(), name)

    def _pipeline(self, name: str) -> str | None:
        found = self._client.list_pipelines(namespace=self._namespace, filter=_named_in([name]))
        return str(found.pipelines[0].pipeline_id) if found.pipelines else None

    def _experiment(self) -> str:
        with quiet():
            made = retried(
                lambda: self._client.create_experiment(
                    self._kubeflow.experiment, namespace=self._namespace
                )
            )
        return str(made.experiment_id)

    def _renewed(self, call: Callable[[], Answer]) -> Answer:
        """Logs in anew where an answer may mean that the session has ended.

        oauth2-proxy then answers 401 or 403; oidc-authservice leads to Dex's page, which kfp's
        client takes for a run of which nothing is known.
        """
        try:
            return call()
        except Exception as error:
            if is_transient(error) or getattr(error, "status", 401) not in (401, 403):
                raise
        try:
            self._connection = connect(self._kubeflow)
        except SubmitError as error:
            raise SubmitError(f"the login has ended while the run went on: {error}") from None
        self._client_made = None
        return call()


def _named_in(names: list[str]) -> str:
    """The API's filter for display names; its fields are those of ``filter.proto``."""
    predicate = {"operation": "IN", "key": "display_name", "stringValues": {"values": names}}
    return json.dumps({"predicates": [predicate]})
