"""One batch: tasks put together, run, and taken apart again; no loop runs per row."""

import asyncio
import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeAlias

import grpc
import numpy as np

from serving.server.errors import ServingError

Arrays: TypeAlias = dict[str, np.ndarray]


@dataclasses.dataclass(slots=True)
class Task:
    """A request in a queue.

    Attributes:
      inputs: by name, the batch as dimension 0.
      rows: its size; 1 for a request that cannot be batched.
      key: tasks of one key fit into one batch; None fits with nothing.
      future: gets the outputs.
      since: when it was queued, ``time.monotonic()``.
      timer: ends the wait at the deadline.
    """

    inputs: Mapping[str, np.ndarray]
    rows: int
    key: Hashable
    future: "asyncio.Future[Arrays]"
    since: float
    timer: asyncio.TimerHandle | None = None


def run_batch(
    run: Callable[[Mapping[str, np.ndarray]], Arrays],
    tasks: Sequence[Task],
    sizes: Sequence[int] = (),
) -> Sequence[Arrays | Exception]:
    """Runs tasks as one.

    If that fails, each runs by itself, so that a bad request does not take its neighbours along.
    TensorFlow Serving fails all of them.

    Args:
      run: the signature.
      tasks: of one key.
      sizes: the allowed batch sizes, ascending; none for any.

    Returns:
      Each task's outputs, or what it failed with.
    """
    try:
        return _together(run, tasks, sizes)
    except Exception as error:
        if len(tasks) == 1:
            return [error]
    return [run_batch(run, [task], sizes)[0] for task in tasks]


def _together(
    run: Callable[[Mapping[str, np.ndarray]], Arrays],
    tasks: Sequence[Task],
    sizes: Sequence[int],
) -> Sequence[Arrays]:
    first = tasks[0]
    rows = sum(task.rows for task in tasks)
    padding = 0
    if first.key is not None and rows:
        padding = next((size - rows for size in sizes if size >= rows), 0)
    if len(tasks) == 1 and not padding:
        return [run(first.inputs)]
    inputs = {}
    for name, array in first.inputs.items():
        parts = [task.inputs[name] for task in tasks]
        if padding:
            filled = next(part for part in parts if len(part))
            parts.append(np.repeat(filled[:1], padding, axis=0))
        inputs[name] = np.concatenate(parts) if len(parts) > 1 else array
    outputs = run(inputs)
    for name, array in outputs.items():
        if not array.ndim or array.shape[0] != rows + padding:
            raise _unequal(name)
    if len(tasks) == 1:
        return [{name: array[:rows] for name, array in outputs.items()}]
    answers: list[Arrays] = []
    begin = 0
    for task in tasks:
        end = begin + task.rows
        answers.append({name: array[begin:end] for name, array in outputs.items()})
        begin = end
    return answers


def _unequal(name: str) -> ServingError:
    return ServingError(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes "
        f"of the input tensors; output {name}",
    )
