"""The demo uses and removes only files that it made itself, which a list in their folder names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagafsm.demo.folder import LIST, claim_folder, find_store_file, resources
from sagafsm.errors import SagaError
from support.demo_worlds import AT_ONCE

BOOKS = ("inventory.db", "payments.db", "shipping.db")


def claim(folder: Path, store: str = "saga.db", *, fresh: bool = False) -> None:
    assert claim_folder(f"sqlite:///{folder}/{store}", fresh=fresh) == folder


def made(folder: Path) -> set[str]:
    """The names on the list of the files that the demo made."""
    return set((folder / LIST).read_text(encoding="utf-8").split())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///sagafsm-demo/saga.db", "sagafsm-demo/saga.db"),
        ("sqlite:////tmp/x/saga.db", "/tmp/x/saga.db"),
        ("sqlite:///x.db?synchronous=NORMAL", "x.db"),
        ("memory://", None),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("postgresql://host/db", None),
    ],
)
def test_the_file_of_a_store_is_read_off_its_url(url: str, file: str | None):
    assert find_store_file(url) == (None if file is None else Path(file))


def test_services_lie_beside_the_store(tmp_path: Path):
    services = resources(f"sqlite:///{tmp_path}/deep/saga.db", pace=AT_ONCE)
    assert list(services) == ["inventory", "payments", "shipping"]
    beside = [f"{book}{end}" for book in BOOKS for end in ("", "-shm", "-wal")]
    assert names(tmp_path / "deep") == sorted([*beside, "made-by-sagafsm-demo.txt"])
    for service in services.values():
        service.close()


def test_a_store_without_a_file_has_its_services_in_a_new_folder():
    first, second = claim_folder("memory://"), claim_folder("memory://")
    assert first != second
    assert first.is_dir()


def test_beginning_makes_folder_and_list_and_keeps_what_the_demo_made(tmp_path: Path):
    folder = tmp_path / "new"
    claim(folder)
    assert made(folder) == {*BOOKS, "saga.db"}
    (folder / "saga.db").write_text("orders")
    claim(folder)
    assert (folder / "saga.db").read_text() == "orders"


def test_services_of_a_store_that_somebody_makes_do_not_make_it_the_demos(tmp_path: Path):
    for service in resources(f"sqlite:///{tmp_path}/saga.db", pace=AT_ONCE).values():
        service.close()
    (tmp_path / "saga.db").write_text("somebody's")
    claim(tmp_path)
    with pytest.raises(SagaError):
        claim(tmp_path, fresh=True)
    assert (tmp_path / "saga.db").read_text() == "somebody's"


def test_fresh_removes_what_the_demo_made_and_nothing_else(tmp_path: Path):
    claim(tmp_path)
    for name in (*BOOKS, "saga.db", "saga.db-wal", "saga.db-shm", "saga.db.bak", "notes.txt"):
        (tmp_path / name).write_text("x")
    claim(tmp_path, fresh=True)
    assert names(tmp_path) == ["made-by-sagafsm-demo.txt", "notes.txt", "saga.db.bak"]
    assert made(tmp_path) == {*BOOKS, "saga.db"}


def test_a_store_that_was_there_before_is_used_but_never_removed(tmp_path: Path):
    (tmp_path / "saga.db").write_text("somebody's")
    claim(tmp_path)
    assert made(tmp_path) == set(BOOKS)
    with pytest.raises(SagaError) as caught:
        claim(tmp_path, fresh=True)
    assert str(caught.value) == (
        f"{tmp_path}/saga.db was not made by the demo, which does not remove it (choose another --store)"
    )
    assert (tmp_path / "saga.db").read_text() == "somebody's"


@pytest.mark.parametrize(("fresh", "wish"), [(False, "use"), (True, "remove")])
def test_somebodys_file_named_like_a_services_is_refused(tmp_path: Path, fresh: bool, wish: str):
    (tmp_path / "payments.db").write_text("somebody's")
    with pytest.raises(SagaError) as caught:
        claim(tmp_path, fresh=fresh)
    assert str(caught.value) == (
        f"{tmp_path}/payments.db was not made by the demo, which does not {wish} it (choose another --store)"
    )
    assert names(tmp_path) == ["payments.db"]


@pytest.mark.parametrize("fresh", [False, True])
def test_one_folder_serves_one_store(tmp_path: Path, fresh: bool):
    claim(tmp_path, "first.db")
    (tmp_path / "first.db").write_text("orders")
    with pytest.raises(SagaError) as caught:
        claim(tmp_path, "second.db", fresh=fresh)
    assert str(caught.value) == (
        f"folder {tmp_path} serves the demo of store 'first.db' (choose another folder in --store)"
    )
    assert (tmp_path / "first.db").read_text() == "orders"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SagaError) as caught:
        claim(tmp_path / "file")
    assert str(caught.value) == f"folder {tmp_path}/file cannot be used: File exists"


def test_a_store_named_like_a_services_file_is_refused(tmp_path: Path):
    with pytest.raises(SagaError) as caught:
        claim(tmp_path, "payments.db")
    assert str(caught.value) == (
        f"store {tmp_path}/payments.db has the name of a participant's file (choose another --store)"
    )
    assert names(tmp_path) == []
