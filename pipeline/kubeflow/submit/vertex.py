"""Vertex AI Pipelines as a backend, by Google's client over REST.

Its layer above, ``aiplatform.PipelineJob``, would also make buckets and set defaults for the whole
process; here the requests are made one by one, so that a job is created once.
"""

import datetime
import hashlib
import json
from typing import TYPE_CHECKING, Any

from pipeline.kubeflow.submit.backend import (
    Change,
    Package,
    RunState,
    Schedule,
    Snapshot,
    Stage,
    Uploaded,
)
from pipeline.kubeflow.submit.deadline import within
from pipeline.kubeflow.submit.errors import SubmitError, reason
from pipeline.kubeflow.submit.retry import found_or_made, retried
from pipeline.local.events import State

if TYPE_CHECKING:
    from pipeline.settings.kubeflow import Kubeflow

PATIENCE = 9.0
"""Seconds until a login that is neither taken nor refused is given up."""
_TIMEOUT = 60.0
_LABEL = "submitted"

_RUN: dict[str, RunState] = {
    "RUNNING": "running",
    "PAUSED": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLING": "canceling",
    "CANCELLED": "canceled",
}
_STAGE: dict[str, State] = {
    "RUNNING": "running",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "cached",
    "NOT_TRIGGERED": "skipped",
    "FAILED": "failed",
    "CANCELLED": "stopped",
}


class VertexBackend:
    """Vertex AI Pipelines in one project and region; the login is tried at once."""

    def __init__(
        self, kubeflow: "Kubeflow", endpoint: str | None = None, credentials: Any = None
    ) -> None:
        """Logs in by Google's application default credentials.

        Args:
          kubeflow: the settings.
          endpoint: another URL of the API than the region's.
          credentials: others than the default ones.

        Raises:
          SubmitError: if there are no credentials, or if they may not list pipeline jobs.
        """
        assert kubeflow.vertex is not None
        self._kubeflow = kubeflow
        self._project, self._region = kubeflow.vertex.project, kubeflow.vertex.region
        self._parent = f"projects/{self._project}/locations/{self._region}"
        self.place = f"Vertex AI, project {self._project}, {self._region}"
        # Imported here: it takes seconds.
        from google.cloud import aiplatform_v1

        self._v1 = aiplatform_v1
        options: dict[str, Any] = {
            "client_options": {
                "api_endpoint": endpoint or f"{self._region}-aiplatform.googleapis.com"
            },
            "credentials": credentials,
            "transport": "rest",
        }

        def log_in() -> None:
            self._jobs = aiplatform_v1.PipelineServiceClient(**options)
            self._schedules = aiplatform_v1.ScheduleServiceClient(**options)
            query = {"parent": self._parent, "page_size": 1}
            next(iter(self._jobs.list_pipeline_jobs(query, retry=None, timeout=5.0)), None)

        try:
            within(PATIENCE, log_in)
        except Exception as error:
            if type(error).__name__ == "DefaultCredentialsError":
                raise SubmitError(
                    "no login for Google Cloud: gcloud auth application-default login, or set "
                    "GOOGLE_APPLICATION_CREDENTIALS to a service account's file"
                ) from None
            raise SubmitError(f"{self.place}: {reason(error)}") from error

    def upload(self, package: Package) -> Uploaded:
        """Nothing is uploaded: each job brings its package."""
        return Uploaded("", "", is_new=True)

    def start(self, package: Package, uploaded: Uploaded, name: str, values: dict[str, Any]) -> str:
        """Creates a job whose id is the name, once."""
        path = f"{self._parent}/pipelineJobs/{name}"
        job = self._job(package, name, values)

        def find() -> str | None:
            try:
                self._jobs.get_pipeline_job(name=path, timeout=_TIMEOUT)
            except Exception as error:
                if getattr(error, "code", None) == 404:
                    return None
                raise
            return name

        return found_or_made(
            find,
            lambda: self._jobs.create_pipeline_job(
                parent=self._parent, pipeline_job=job, pipeline_job_id=name, timeout=_TIMEOUT
            ),
        )

    def look(self, run_id: str) -> Snapshot:
        """The job's state and its tasks'."""
        name = f"{self._parent}/pipelineJobs/{run_id}"
        job = self._jobs.get_pipeline_job(name=name, timeout=_TIMEOUT)
        state = _RUN.get(job.state.name.removeprefix("PIPELINE_STATE_"), "pending")
        stages = {task.task_name: _stage(task) for task in job.job_detail.task_details}
        return Snapshot(state, stages, job.error.message)

    def cancel(self, run_id: str) -> None:
        """Cancels a job."""
        name = f"{self._parent}/pipelineJobs/{run_id}"
        retried(lambda: self._jobs.cancel_pipeline_job(name=name, timeout=_TIMEOUT))

    def link(self, run_id: str) -> str:
        """The job's page in Google's console."""
        return (
            f"https://console.cloud.google.com/vertex-ai/locations/{self._region}/pipelines/runs/"
            f"{run_id}?project={self._project}"
        )

    def schedule(
        self, package: Package, uploaded: Uploaded, name: str, cron: str, values: dict[str, Any]
    ) -> Schedule:
        """Makes the schedule of that name what is asked; the API can change one in place."""
        text = json.dumps([package.digest, cron, values, self._kubeflow.model_dump(mode="json")])
        mark = hashlib.sha256(text.encode()).hexdigest()[:32]
        job = self._job(package, f"{package.name}-scheduled", values)
        job.labels[_LABEL] = mark
        wish = self._v1.Schedule(
            display_name=name,
            cron=cron,
            max_concurrent_run_count=1,
            create_pipeline_job_request={"parent": self._parent, "pipeline_job": job},
        )
        before = self._named(name)
        if before is None:
            made = found_or_made(
                lambda: self._named(name),
                lambda: self._schedules.create_schedule(
                    parent=self._parent, schedule=wish, timeout=_TIMEOUT
                ),
            )
            return Schedule(made.name, "made")
        change: Change = "left as it is"
        if before.create_pipeline_job_request.pipeline_job.labels.get(_LABEL) != mark:
            wish.name = before.name
            mask = {"paths": ["cron", "create_pipeline_job_request"]}
            retried(
                lambda: self._schedules.update_schedule(
                    schedule=wish, update_mask=mask, timeout=_TIMEOUT
                )
            )
            change = "replaced"
        if before.state == self._v1.Schedule.State.PAUSED:
            retried(lambda: self._schedules.resume_schedule(name=before.name, timeout=_TIMEOUT))
            change = "enabled" if change == "left as it is" else change
        return Schedule(before.name, change)

    def disable(self, name: str) -> int:
        """Pauses the schedule of a name."""
        found = self._named(name)
        if found is None:
            raise SubmitError(f"there is no recurring run {name!r}")
        if found.state == self._v1.Schedule.State.PAUSED:
            return 0
        retried(lambda: self._schedules.pause_schedule(name=found.name, timeout=_TIMEOUT))
        return 1

    def _job(self, package: Package, name: str, values: dict[str, Any]) -> Any:
        compiled = json.loads(package.text)
        return self._v1.PipelineJob(
            display_name=name,
            pipeline_spec=compiled.get("pipelineSpec", compiled),
            labels={"package": package.digest[:32]},
            runtime_config={
                "gcs_output_directory": self._kubeflow.pipeline_root,
                "parameter_values": values,
            },
            service_account=self._kubeflow.service_account or "",
        )

    def _named(self, name: str) -> Any:
        query = {"parent": self._parent, "filter": f'display_name="{name}"'}
        found = retried(lambda: self._schedules.list_schedules(query, timeout=_TIMEOUT))
        return next((schedule for schedule in found if schedule.display_name == name), None)


def _stage(task: Any) -> Stage:
    state = _STAGE.get(task.state.name, "waiting")
    if not task.start_time:
        return Stage(state, text=task.error.message)
    now = datetime.datetime.now(datetime.timezone.utc)
    seconds = ((task.end_time or now) - task.start_time).total_seconds()
    return Stage(state, max(0.0, seconds), task.error.message)
