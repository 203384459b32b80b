"""Calls made at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any


def race(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each call returned, or the exception it raised; all begin at once, each on a thread of its own."""
    answers: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(index: int) -> None:
        gate.wait()
        try:
            answers[index] = calls[index]()
        except BaseException as error:  # noqa: BLE001 -- it is what the race is about
            answers[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def select_successes(answers: Sequence[Any]) -> list[Any]:
    """What was returned, without what was raised."""
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def select_failures(answers: Sequence[Any]) -> list[BaseException]:
    """What was raised."""
    return [answer for answer in answers if isinstance(answer, BaseException)]
