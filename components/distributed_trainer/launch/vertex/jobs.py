"""What the launcher asks of Vertex AI, by Google's own client over REST."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import google.auth.exceptions
import requests
from google.api_core import exceptions
from google.cloud import aiplatform_v1

from components.distributed_trainer.launch.job import TrainingFailed
from components.distributed_trainer.launch.vertex.request import ATTEMPT, JOB

Answer = TypeVar("Answer")
CustomJob = aiplatform_v1.CustomJob
State = aiplatform_v1.JobState

ENDED = {
    State.JOB_STATE_SUCCEEDED,
    State.JOB_STATE_FAILED,
    State.JOB_STATE_CANCELLED,
    State.JOB_STATE_EXPIRED,
}
PASSING = (
    exceptions.ServerError,
    exceptions.TooManyRequests,
    exceptions.RetryError,
    requests.RequestException,
)
"""What may succeed a little later."""
_TIMEOUT = 30.0
_TRIES = 5


class Jobs:
    """Custom jobs of one project and region.

    What Vertex AI refuses is raised as TrainingFailed; what it does not answer to several times, as
    one of ``PASSING``.
    """

    def __init__(
        self, project: str, region: str, endpoint: str | None = None, credentials: Any = None
    ) -> None:
        """Logs in by Google's application default credentials.

        Args:
          project: of Google Cloud.
          region: of Vertex AI.
          endpoint: another URL of the API than the region's.
          credentials: others than the default ones.

        Raises:
          TrainingFailed: if there are none.
        """
        self._project, self._region = project, region
        self._parent = f"projects/{project}/locations/{region}"
        try:
            self._client = aiplatform_v1.JobServiceClient(
                client_options={"api_endpoint": endpoint or f"{region}-aiplatform.googleapis.com"},
                credentials=credentials,
                transport="rest",
            )
        except google.auth.exceptions.DefaultCredentialsError as error:
            raise TrainingFailed(
                "training.workers.launcher is 'vertex', and there is no login for Google Cloud: "
                "gcloud auth application-default login, or run the pipeline there"
            ) from error

    def create(self, job: dict[str, Any]) -> CustomJob:
        """Creates a job, once, though answers may be lost."""
        wanted = CustomJob(job)

        def once() -> CustomJob:
            label = job["labels"][ATTEMPT]
            made = next((j for j in self._with(JOB, job) if j.labels[ATTEMPT] == label), None)
            return made or self._client.create_custom_job(
                parent=self._parent, custom_job=wanted, timeout=_TIMEOUT
            )

        return self._asked("create a CustomJob", once)

    def unfinished(self, key: str) -> list[CustomJob]:
        """The jobs of a training that have not ended."""
        found = self._asked("list CustomJobs", lambda: self._with(JOB, {"labels": {JOB: key}}))
        return [job for job in found if job.state not in ENDED]

    def get(self, name: str) -> CustomJob:
        """A job as it is now, asked once: whoever asks will ask again."""
        return self._asked(
            "see a CustomJob",
            lambda: self._client.get_custom_job(name=name, retry=None, timeout=_TIMEOUT),
            tries=1,
        )

    def cancel(self, name: str) -> None:
        """Asks for a job's end."""
        self._asked(
            "cancel a CustomJob",
            lambda: self._client.cancel_custom_job(name=name, retry=None, timeout=_TIMEOUT),
        )

    def link(self, name: str) -> str:
        """The job's page in Google's console, which leads to its logs."""
        return (
            f"https://console.cloud.google.com/vertex-ai/locations/{self._region}/training/"
            f"{name.rpartition('/')[2]}?project={self._project}"
        )

    def _with(self, label: str, job: dict[str, Any]) -> list[CustomJob]:
        query = {"parent": self._parent, "filter": f'labels.{label}="{job["labels"][label]}"'}
        return list(self._client.list_custom_jobs(query, retry=None, timeout=_TIMEOUT))

    def _asked(self, what: str, call: Callable[[], Answer], tries: int = _TRIES) -> Answer:
        for again in range(tries):
            try:
                return call()
            except PASSING:
                if again == tries - 1:
                    raise
            except exceptions.GoogleAPICallError as error:
                raise TrainingFailed(
                    f"cannot {what} in {self._parent}: {error.code} {error.message}"
                ) from error
            time.sleep(0.5 * 2**again)
        raise AssertionError
