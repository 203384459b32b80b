"""Where a demo keeps its files: beside the saga store's file, with a list of those that it made."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import attrs

from sagafsm.demo.participants import KINDS, file_of, open_participants
from sagafsm.demo.participants.service import PACE, Service
from sagafsm.errors import SagaError

DEFAULT_STORE = "sqlite:///sagafsm-demo/saga.db"
_FILE_SCHEME = "sqlite:///"
_LIST = "made-by-sagafsm-demo.txt"
# What SQLite puts beside a database while it is open, or leaves there when its process was killed.
_BESIDE = ("", "-wal", "-shm", "-journal")


class NotTheDemos(SagaError, RuntimeError):
    """The demo would have to use or remove a file that it did not make; nothing was touched."""

    def __init__(self, path: Path, wish: str) -> None:
        self.path, self.wish = path, wish
        super().__init__(f"{path} was not made by the demo, which does not {wish} it (choose another --store)")


def store_file(store_url: str) -> Path | None:
    """The file of the store that the URL names; None when it is no file."""
    path = store_url.removeprefix(_FILE_SCHEME).partition("?")[0]
    return Path(path) if store_url.startswith(_FILE_SCHEME) and path not in ("", ":memory:") else None


def resources(store_url: str, *, pace: timedelta = PACE) -> dict[str, Service]:
    """The participants whose files lie beside the store's; for a store that is no file, in a temporary folder."""
    folder = folder_of(store_url)
    Made(folder, store_file(store_url)).begin(with_store=False)
    return open_participants(folder, pace=pace)


def folder_of(store_url: str) -> Path:
    """The folder of the participants' files: that of the store's file, else a new one that ends with the process."""
    file = store_file(store_url)
    if file is not None:
        return file.parent
    folder = tempfile.mkdtemp(prefix="sagafsm-demo-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@attrs.frozen
class Made:
    """The list of the files that the demo made in a folder; `store` is the store's file, None when it is no file."""

    folder: Path
    store: Path | None

    @property
    def names(self) -> frozenset[str]:
        """The names on the list."""
        try:
            return frozenset((self.folder / _LIST).read_text(encoding="utf-8").split("\n")) - {""}
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    def begin(self, *, fresh: bool = False, with_store: bool = True) -> None:
        """Make the folder and the list; with `fresh`, first remove the files on it.

        The list is written before any of its files is made: after a crash none of them is a stranger. A store that
        was there before the demo, or that somebody else makes (`with_store` False), is used but not put on the list.

        Raises:
            NotTheDemos: a file that is not on the list would have to be used as participant's books, or removed.
            SagaError: the folder cannot be made, or serves the demo of another store already.
        """
        books = {file_of(self.folder, participant).name for participant in KINDS}
        own = set() if self.store is None else {self.store.name}
        for name in books & own:
            raise SagaError(f"store {self.folder / name} has the name of a participant's file (choose another --store)")
        known = self.names
        for name in sorted(known - books - own):
            # The participants' books of two stores would be one, and balance with neither.
            raise SagaError(
                f"folder {self.folder} serves the demo of store {name!r} (choose another folder in --store)"
            )
        here = {name for name in books | own if (self.folder / name).exists()}
        for name in sorted(here - known - (set() if fresh else own)):
            raise NotTheDemos(self.folder / name, "remove" if fresh else "use")
        if fresh:
            self._remove(known)
            here = set()
        self._list(books | known | (own - here if with_store else set()))

    def _list(self, names: Iterable[str]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Replaced as a whole: half a list would make strangers of the demo's own files.
            written = self.folder / f"{_LIST}.{os.getpid()}"
            written.write_text("\n".join((*sorted(names), "")), encoding="utf-8")
            written.replace(self.folder / _LIST)
        except OSError as error:
            raise SagaError(f"folder {self.folder} cannot be used: {error.strerror}") from error

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            for end in _BESIDE:
                (self.folder / f"{name}{end}").unlink(missing_ok=True)
