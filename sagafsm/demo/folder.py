"""The folder of a demo: the services' files beside the store's file, and a list of the files that the demo made."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from sagafsm.demo.services import FILES, PACE, Service, open_services
from sagafsm.errors import SagaError

DEFAULT_STORE = "sqlite:///sagafsm-demo/saga.db"
LIST = "made-by-sagafsm-demo.txt"
_FILE_SCHEME = "sqlite:///"


def resources(store_url: str, *, pace: timedelta = PACE) -> dict[str, Service]:
    """Open the services whose files lie beside the store's file."""
    return open_services(claim_folder(store_url, with_store=False), pace=pace)


def find_store_file(store_url: str) -> Path | None:
    """Return the file of the store at this URL; None for a store without a file."""
    path = store_url.removeprefix(_FILE_SCHEME).partition("?")[0]
    return Path(path) if store_url.startswith(_FILE_SCHEME) and path not in ("", ":memory:") else None


def claim_folder(store_url: str, *, fresh: bool = False, with_store: bool = True) -> Path:
    """Return the folder of the demo, after writing the list of the demo's files. `fresh` first removes these files.

    A store without a file gets a temporary folder. A store that existed before the demo, or that another program makes
    (`with_store=False`), is used but not listed.

    Raises:
        SagaError: the demo cannot use the folder, or did not make a file in it. No file was changed.
    """
    store = find_store_file(store_url)
    if store is None:
        temporary = tempfile.mkdtemp(prefix="sagafsm-demo-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)
    folder, made_list = store.parent, store.with_name(LIST)
    books, own = set(FILES.values()), {store.name}
    if store.name in books:
        raise SagaError(f"store {store} has the name of a participant's file (choose another --store)")
    made = set(made_list.read_text(encoding="utf-8").split("\n")) - {""} if made_list.exists() else set()
    for name in sorted(made - books - own):
        # With the orders of two stores in the same books, the books would balance with neither store.
        raise SagaError(f"folder {folder} serves the demo of store {name!r} (choose another folder in --store)")
    present = {name for name in books | own if (folder / name).exists()}
    for name in sorted(present - made - (set() if fresh else own)):
        wish = "remove" if fresh else "use"
        raise SagaError(f"{folder / name} was not made by the demo, which does not {wish} it (choose another --store)")
    for name in made if fresh else ():
        # SQLite keeps these files beside an open database, and leaves them when its process is killed.
        for end in ("", "-wal", "-shm", "-journal"):
            (folder / f"{name}{end}").unlink(missing_ok=True)
    listed = books | made | (own if with_store and (fresh or store.name not in present) else set())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Written before the files exist, and replaced as a whole: the demo refuses a file that is not on the list.
        written = folder / f"{LIST}.{os.getpid()}"
        written.write_text("\n".join((*sorted(listed), "")), encoding="utf-8")
        written.replace(made_list)
    except OSError as error:
        raise SagaError(f"folder {folder} cannot be used: {error.strerror}") from error
    return folder
