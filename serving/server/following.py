"""What a release record says is served and to whom, read again when the file changes."""

from pathlib import Path

from serving.releases import Releases
from serving.releases.traffic import Traffic

_RECORD = "releases.json"


class Following:
    """A model's release record as the source of its traffic.

    Args:
      folder: the model's folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self._releases = Releases(folder)
        self._record = Path(folder) / _RECORD
        self._seen: tuple[int, int, int] | None = None
        self._traffic: Traffic | None = None
        self._served: list[int] = []

    def traffic(self) -> Traffic | None:
        """How requests without a version are split; None without a record."""
        self._refresh()
        return self._traffic

    def served(self) -> list[int]:
        """The versions to hold: stable, canary, and the one to roll back to."""
        self._refresh()
        return self._served

    def _refresh(self) -> None:
        try:
            info = self._record.stat()
        except OSError:
            return  # as before: the record is replaced by renaming, so it is away only for good
        seen = (info.st_ino, info.st_mtime_ns, info.st_size)
        if seen == self._seen:
            return
        self._traffic, self._served = self._releases.traffic(), self._releases.served()
        self._seen = seen
