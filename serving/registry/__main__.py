"""``python -m serving.registry FOLDER SETTINGS [sync|reach]``: mirrors one release record.

SETTINGS is what stands under ``registry:``, as JSON. Without a verb it is a transition's: it does
nothing if another process mirrors this record, or has. Ends with 0, or with 1 and the reason as
its last line.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from serving.registry import standing
from serving.registry.connect import connect, words
from serving.registry.settings import Registry
from serving.releases import Releases

MOST_SECONDS = 600
"""After that a mirror gives up, so that one that hangs does not keep the next from trying."""


def main(folder: Path, settings: str, verb: str = "") -> str:
    """Does it.

    Args:
      folder: the served model's folder.
      settings: JSON of a ``Registry``.
      verb: see the module.

    Returns:
      What was done, in words.

    Raises:
      Exception: whatever kept it from it.
    """
    if verb == "reach":
        client, where = _client(settings)
        client.search_registered_models(max_results=1)
        return f"MLflow answers at {where}"
    with standing.turn(folder, queue=bool(verb)) as ours:
        releases = Releases(folder)
        newest, before = standing.newest(releases), standing.read(folder)
        if not ours or (not verb and before == standing.Standing(newest)):
            return "another process does it"
        # Mirroring may come right when users most need the processors.
        os.nice(10)
        try:
            client, where = _client(settings)
            from serving.registry.mirror import mirror

            aliases = mirror(releases, client, Registry.model_validate_json(settings))
        except Exception as error:
            standing.failed(folder, words(error))
            raise
        standing.succeeded(folder, newest)
    stand = ", ".join(f"{alias} is release {number}" for alias, number in aliases.items())
    return f"MLflow at {where} equals the record: {stand or 'no alias'}"


def _client(settings: str) -> tuple[Any, str]:
    uri = Registry.model_validate_json(settings).uri()
    return connect(uri), words(ValueError(uri))


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"MLflow took longer than {MOST_SECONDS} s")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(MOST_SECONDS)
    try:
        print(main(Path(sys.argv[1]), *sys.argv[2:]))
    except Exception as error:
        print(words(error))
        sys.exit(1)
