"""A plant asked of a released model at the plant's own time, and kept as a server keeps it."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_serving.config import model_server_config_pb2

from pipeline.settings import Settings
from serving.online.columns import request_columns
from serving.online.observation import observation
from serving.server.access_log import AccessLog, record
from serving.server.core import Core, Target
from serving.server.exchange import Entry, Exchange
from serving.server.sampling import Sampling
from serving.server.signatures import type_name

_SIGNATURE = "predict_columns"
_AT_ONCE = 50
_LEVELS, _SPREADS = ("mean", "min", "max", "last"), ("std", "slope")
Change = Callable[[pa.Table], pa.Table]


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is planted.

    Attributes:
      name: in words.
      change: makes of a table of features what they would be with the fault.
    """

    name: str
    change: Change


def recalibrated(
    channel: str, gain: float, offset: float, machines: Sequence[int] | None
) -> Change:
    """A sensor that says ``gain * x + offset``.

    A window's mean, least, largest and last reading change likewise, its deviation and slope by the
    gain alone; so features are changed, not readings, with the same result.

    Args:
      channel: which one.
      gain: by which readings grow.
      offset: what is added to them, in the channel's unit.
      machines: at which; None: at all.
    """

    def change(table: pa.Table) -> pa.Table:
        chosen = pa.array(np.ones(len(table), bool))
        if machines is not None:
            chosen = pc.is_in(table["machine_id"], pa.array(machines, table["machine_id"].type))
        for place, name in enumerate(table.column_names):
            if not name.startswith(f"telemetry_{channel}_"):
                continue
            kind = name.split("_")[2]
            if kind in (*_LEVELS, *_SPREADS):
                column = table[name]
                added = offset if kind in _LEVELS else 0.0
                new = pc.add(pc.multiply(column, gain), added).cast(column.type)
                table = table.set_column(place, name, pc.if_else(chosen, new, column))
        return table

    return change


def replaced(machines: Sequence[int], model: str = "D9") -> Change:
    """Machines of a model that training never saw, in the place of some that it did."""

    def change(table: pa.Table) -> pa.Table:
        chosen = pc.is_in(table["machine_id"], pa.array(machines, table["machine_id"].type))
        column = table["model"]
        new = pc.if_else(chosen, pa.scalar(model.encode(), column.type), column)
        return table.set_column(table.column_names.index("model"), "model", new)

    return change


def replay(settings: Settings, version: int, table: pa.Table, folder: Path) -> int:
    """Asks for each row at its time; all requests are kept.

    Args:
      settings: the project's settings.
      version: which one answers.
      table: n rows of features with the spine's entity and time, ordered by time.
      folder: where the sampler's files go.

    Returns:
      How many requests were kept.
    """
    return asyncio.run(_replay(settings, version, table, folder))


async def _replay(settings: Settings, version: int, table: pa.Table, folder: Path) -> int:
    model, spine = settings.serving.model, settings.spine_source
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=model,
        base_path=str(Path(settings.serving.model_directory).absolute()),
        model_platform="tensorflow",
    )
    everything = Sampling(str(folder), 1.0, 1e12, 1e6, 1e9)
    core = Core(config, sampling=everything)
    log = AccessLog()
    await core.start()
    target = Target(model, version, None, _SIGNATURE)
    try:
        await core.wait_until_available(model, 120)
        _, signatures = core.signatures(target)
        inputs = {
            name: f"DT_{type_name(info.dtype).upper()}"
            for name, info in signatures[_SIGNATURE].inputs.items()
        }
        columns = request_columns(table, inputs)
        times = np.asarray(table[spine.time], np.int64)
        sampler = core.sampler
        assert sampler is not None

        async def ask(row: int) -> None:
            asked = {name: values[row : row + 1] for name, values in columns.items()}
            about = observation(table.slice(row, 1), spine.entity, spine.time)
            entry = Entry("REST", "predict", model, version, rows=1, observation=about)
            answer = await core.predict(target, asked)
            entry.answered(answer, Exchange(asked, answer.outputs))
            record(core, log, times[row] / 1e6, entry)

        for first in range(0, len(table), _AT_ONCE):
            await asyncio.gather(*map(ask, range(first, min(first + _AT_ONCE, len(table)))))
            # A server would drop what its disk cannot follow.
            while sampler.waiting > _AT_ONCE:
                await asyncio.sleep(0.01)
    finally:
        await core.stop()
    return len(table)
