"""Services that are shared by the pieces, and worlds made of them.

Each can be asked in a careful way (a key that makes a call idempotent, and a withdrawal that shuts the key) and in a
careless one (no key; an undo that minds whether there is something to undo). What a saga makes of that is its affair.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any

import attrs


class Refused(Exception):
    """A service's definite answer: it did nothing."""


class Gone(Refused):
    """There is nothing under that id or key."""


@attrs.define(eq=False)
class Keys:
    """What was done under which key, and up to which attempt a key is shut."""

    done: dict[str, Any] = attrs.Factory(dict)
    shut: dict[str, float] = attrs.Factory(dict)

    def check(self, key: str, attempt: int) -> None:
        if attempt <= self.shut.get(key, 0):
            raise Refused(f"attempt {attempt} under a key that was shut")

    def shut_up_to(self, key: str, attempt: float) -> None:
        self.shut[key] = max(attempt, self.shut.get(key, 0))


@attrs.define(eq=False)
class Records:
    """Rows under ids of its own: bookings, labels, tickets. What it shows leaves the ids out."""

    rows: dict[str, dict[str, Any]] = attrs.Factory(dict)
    keys: Keys = attrs.Factory(Keys)
    number: int = 0

    @classmethod
    def of(cls, *rows: Mapping[str, Any]) -> Records:
        """Those that were there before."""
        records = cls()
        for row in rows:
            records.add(**row)
        return records

    def add(self, **row: Any) -> dict[str, Any]:
        """A new row, each time."""
        self.number += 1
        id = f"r-{self.number}"
        self.rows[id] = dict(row)
        return {"id": id, **row}

    def put(self, key: str, *, attempt: int = 1, **row: Any) -> dict[str, Any]:
        """The row under the key, new or not; refused once the key is shut."""
        if key not in self.keys.done:
            self.keys.check(key, attempt)
            self.keys.done[key] = self.add(**row)["id"]
        return self.get(self.keys.done[key])

    def put_unfenced(self, key: str, **row: Any) -> dict[str, Any]:
        """The row under the key, new or not, whatever was withdrawn meanwhile."""
        return self.put(key, attempt=1_000_000, **row)

    def get(self, id: str) -> dict[str, Any]:
        if id not in self.rows:
            raise Gone(f"no row {id!r}")
        return {"id": id, **self.rows[id]}

    def change(self, id: str, **new: Any) -> dict[str, Any]:
        self.get(id)
        self.rows[id].update(new)
        return self.get(id)

    def drop(self, id: str) -> None:
        """Remove a row; one that is not there is an error."""
        self.get(id)
        self._forget(id)

    def discard(self, id: str | None) -> None:
        """Remove a row if it is there."""
        self._forget(id)

    def _forget(self, id: str | None) -> None:
        self.rows.pop(id or "", None)
        for key in [key for key, known in self.keys.done.items() if known == id]:
            del self.keys.done[key]

    def withdraw(self, key: str) -> None:
        """Remove what is under the key, if anything, and let nothing come under it any more."""
        self.keys.shut_up_to(key, math.inf)
        self.discard(self.keys.done.get(key))

    def forget(self, key: str) -> None:
        """Remove what is under the key, if anything; a late call under it is as good as a new one."""
        self.discard(self.keys.done.get(key))

    def strike(self, key: str) -> None:
        """The same as `withdraw`, but an error where there was nothing."""
        known = self.keys.done.get(key)
        self.withdraw(key)
        if known is None:
            raise Gone(f"nothing under {key!r}")

    def find(self, key: str, *, shutting: int = 0) -> dict[str, Any] | None:
        """What is under the key; if nothing, calls up to that attempt are refused from now on."""
        if key in self.keys.done:
            return self.get(self.keys.done[key])
        self.keys.shut_up_to(key, shutting)
        return None

    def where(self, **like: Any) -> list[dict[str, Any]]:
        return [{"id": id, **row} for id, row in self.rows.items() if like.items() <= row.items()]

    def shown(self) -> Any:
        return tuple(sorted(str(sorted(row.items())) for row in self.rows.values()))


@attrs.define(eq=False)
class Amounts:
    """Names with an amount each: accounts with money, goods in stock."""

    amounts: dict[str, int]
    held: Keys = attrs.Factory(Keys)
    number: int = 0

    @classmethod
    def of(cls, **amounts: int) -> Amounts:
        return cls(dict(amounts))

    def take(self, name: str, amount: int) -> dict[str, Any]:
        """Take it, each time; refused where there is less."""
        if self.amounts.get(name, 0) < amount:
            raise Refused(f"{name} has less than {amount}")
        self.amounts[name] -= amount
        self.number += 1
        return {"id": f"t-{self.number}", "name": name, "amount": amount}

    def give(self, name: str, amount: int) -> None:
        """Give it, each time."""
        self.amounts[name] = self.amounts.get(name, 0) + amount

    def hold(self, key: str, name: str, amount: int, *, attempt: int = 1) -> dict[str, Any]:
        """Take it once under the key; refused once the key is shut."""
        if key not in self.held.done:
            self.held.check(key, attempt)
            self.held.done[key] = self.take(name, amount)
        return dict(self.held.done[key])

    def free(self, key: str) -> None:
        """Give back what was taken under the key, if anything, and shut it."""
        self.held.shut_up_to(key, math.inf)
        taken = self.held.done.pop(key, None)
        if taken is not None:
            self.give(taken["name"], taken["amount"])

    def move(self, key: str, name: str, amount: int) -> dict[str, Any]:
        """Take, or with a negative amount give, once under the key."""
        if key not in self.held.done:
            self.held.done[key] = self.take(name, amount)
        return dict(self.held.done[key])

    def find(self, key: str, *, shutting: int = 0) -> dict[str, Any] | None:
        if key in self.held.done:
            return dict(self.held.done[key])
        self.held.shut_up_to(key, shutting)
        return None

    def left(self, name: str) -> int:
        return self.amounts.get(name, 0)

    def shown(self) -> Any:
        return tuple(sorted(self.amounts.items()))


@attrs.define(eq=False)
class Settings:
    """Values by name, each with a version that every write raises."""

    values: dict[str, Any]
    versions: dict[str, int] = attrs.Factory(dict)

    @classmethod
    def of(cls, **values: Any) -> Settings:
        return cls(dict(values))

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def read(self, name: str) -> dict[str, Any]:
        return {"value": self.values.get(name), "version": self.versions.get(name, 0)}

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value
        self.versions[name] = self.versions.get(name, 0) + 1

    def set_if(self, name: str, value: Any, *, version: int) -> None:
        """Set it, unless somebody else has since that version; setting it again is no error."""
        if self.values.get(name) == value:
            return
        if self.versions.get(name, 0) != version:
            raise Refused(f"{name} has changed since version {version}")
        self.set(name, value)

    def shown(self) -> Any:
        return tuple(sorted((name, str(value)) for name, value in self.values.items()))


@attrs.define(eq=False)
class Log:
    """Lines that nobody can take back: mails, audit rows."""

    lines: tuple[str, ...] = ()

    def write(self, line: str) -> None:
        self.lines += (line,)

    send = write

    def shown(self) -> Any:
        return self.lines


@attrs.frozen(eq=False)
class Answer:
    """What an asynchronous client returns: nothing is sent before it is awaited."""

    ask: Callable[[], Any]

    def __await__(self) -> Generator[None, None, Any]:
        return self.ask()
        yield


@attrs.define(eq=False)
class Distant:
    """A service behind an asynchronous client."""

    service: Any

    def put(self, key: str, **row: Any) -> Answer:
        return Answer(lambda: self.service.put(key, **row))

    def withdraw(self, key: str) -> Answer:
        return Answer(lambda: self.service.withdraw(key))

    def find(self, key: str, *, shutting: int = 0) -> Answer:
        return Answer(lambda: self.service.find(key, shutting=shutting))

    def shown(self) -> Any:
        return self.service.shown()


class World:
    """Services by name. `makers` say how each begins, `growing` which of them may only grow."""

    makers: Mapping[str, Callable[[], Any]] = {}
    growing: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.services = {name: make() for name, make in self.makers.items()}

    def resources(self) -> dict[str, Any]:
        return dict(self.services)

    def snapshot(self) -> Any:
        return {name: service.shown() for name, service in self.services.items()}

    def residue(self) -> dict[str, Any]:
        return {name: self.services[name].shown() for name in self.growing}

    def copy(self) -> World:
        return copy.deepcopy(self)


def world(*growing: str, **makers: Callable[[], Any]) -> type[World]:
    """A class of worlds with these services, of which those named may only grow."""
    return type("World", (World,), {"makers": makers, "growing": growing})


def shop(*growing: str, **more: Callable[[], Any]) -> type[World]:
    """A shop with stock, customers with money, and a carrier; and more."""
    begin = {
        "stock": lambda: Amounts.of(mug=10, lamp=1),
        "bank": lambda: Amounts.of(ann=5_000, bob=100, shop=0),
        "carrier": Records,
    }
    return world(*growing, **{**begin, **more})
