"""A folder that stands for an object store: it keeps objects, and so no empty folders."""

import dataclasses
import pathlib
import shutil


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Objects by URI, such as ``minio://bucket/key``; each a file below ``folder``."""

    folder: pathlib.Path

    def object(self, uri: str) -> pathlib.Path:
        """Where an object, or what has its URI as a prefix, lies."""
        return self.folder / uri.replace("://", "/")

    def upload(self, local: pathlib.Path, uri: str) -> None:
        """Copies a file, or all files below a folder (``UploadBlob``, ``object_store.go``).

        Raises:
          FileNotFoundError: if there is neither.
        """
        if not local.is_dir():
            self._copy(local, self.object(uri))
            return
        for path in local.rglob("*"):
            if not path.is_dir():
                self._copy(path, self.object(f"{uri}/{path.relative_to(local)}"))

    def download(self, uri: str, local: pathlib.Path) -> None:
        """Copies the object, or all that lie below it; nothing where there is none.

        As ``DownloadBlob``, ``object_store.go``.
        """
        source = self.object(uri)
        if source.is_file():
            self._copy(source, local)
        for path in source.rglob("*"):
            if path.is_file():
                self._copy(path, local / path.relative_to(source))

    @staticmethod
    def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
