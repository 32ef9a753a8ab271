"""What a launcher is, and which settings mean which."""

from typing import Protocol

from components.distributed_trainer.launch.job import Job
from components.distributed_trainer.settings import Launch, TfJobWorkers, VertexWorkers


class Launcher(Protocol):
    """Runs a job on workers of one kind of place."""

    def run(self, job: Job) -> None:
        """Runs the job to its end; the model then lies where ``job.fn_args`` says.

        However this call ends, by an error, KeyboardInterrupt or SystemExit included, no worker is
        left running.

        Args:
          job: what to train, with places as this process sees them.

        Raises:
          TrainingFailed: if a worker failed for good; the message tells which, and its last words.
        """


def launcher(launch: Launch) -> Launcher:
    """The launcher that settings ask for."""
    workers = launch.workers
    # Each imports what only its own place needs.
    if isinstance(workers, TfJobWorkers):
        from components.distributed_trainer.launch.tfjob.launcher import TfJob

        return TfJob(workers, launch.patches)
    if isinstance(workers, VertexWorkers):
        from components.distributed_trainer.launch.vertex.launcher import Vertex

        return Vertex(workers)
    from components.distributed_trainer.launch.loopback import Loopback

    return Loopback(workers)
