"""The project's run_fn among faults that come at a given batch, each once."""

import json
import os
import pathlib
import signal
from typing import Any

import tf_keras as keras

from trainer import run, strategy


def run_fn(fn_args: Any) -> None:
    """Calls the project's ``run_fn``.

    ``custom_config["faults"]`` lists ``{"who", "epoch", "batch"}``, counted from 0: there SIGKILL
    goes to ``"worker 0"``, ``"worker 1"`` or so, or to ``"launcher"``. With ``"streamed"`` examples
    are not held in memory. What the strategy communicates by goes to ``communication-0`` and so on.
    """
    worker = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    told = pathlib.Path(os.environ["TRAINING_BACKUP_DIR"]).parent
    began = keras.callbacks.CallbackList.on_epoch_begin
    ended = keras.callbacks.CallbackList.on_train_batch_end
    epoch = 0

    def on_epoch_begin(self: Any, index: int, logs: Any = None) -> None:
        nonlocal epoch
        epoch = index
        (told / f"epochs-{worker}").open("a").write(f"{index} ")
        began(self, index, logs)

    def on_train_batch_end(self: Any, batch: int, logs: Any = None) -> None:
        ended(self, batch, logs)
        for number, fault in enumerate(fn_args.custom_config["faults"]):
            here = (fault["epoch"], fault["batch"]) == (epoch, batch)
            once = told / f"fault-{number}"
            if here and fault["who"] == f"worker {worker}" and not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if here and fault["who"] == "launcher" and worker == 0 and not once.exists():
                once.touch()
                os.kill(os.getppid(), signal.SIGKILL)

    def placed(*given: Any) -> strategy.Placement:
        made = strategy.place(*given)
        options = made.strategy.extended._communication_options
        text = f"{options.implementation.name} {options.bytes_per_pack}"
        (told / f"communication-{worker}").write_text(text)
        return made

    run.place = placed
    if fn_args.custom_config.get("streamed"):
        run.MEMORY = 0
    keras.callbacks.CallbackList.on_epoch_begin = on_epoch_begin
    keras.callbacks.CallbackList.on_train_batch_end = on_train_batch_end
    run.run_fn(fn_args)
