# ruff: noqa: S101 -- a contract asserts
"""Creates and appends of several in one commit: each is made or refused as if it came alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm.errors import InstanceExists, MailWaits, SagaError, StoreConflict, StoreError
from sagafsm.history import events as e
from sagafsm.store import Append, Create, Store, Write
from sagafsm.testing.races import race
from sagafsm.testing.sample_histories import (
    batches,
    make_cancel_requested,
    make_history,
    make_instance_completed,
    make_step_started,
    make_step_succeeded,
    number_events,
)
from sagafsm.testing.store_contract.append import SHARED_STORE
from sagafsm.testing.store_contract.base import ALICE, BOB, LEASE, StoreContractPart

BAD = "bad"


def make_append(instance_id: str, token: int, *events: e.Event, version: int = 2) -> Append:
    """An append of these events behind that version."""
    more = number_events(events or (make_step_succeeded(),), after=version)
    return Append(instance_id=instance_id, events=more, expected_version=version, token=token)


def make_create(instance_id: str, *events: e.Event) -> Create:
    """A creation by Alice."""
    return Create(
        instance_id=instance_id,
        events=make_history(instance_id, make_step_started(), *events),
        owner=ALICE,
        lease=LEASE,
    )


def make_append_after_release(store: Store, token: int) -> Write:
    """An append by somebody who has let go."""
    store.release(BAD, token=token)
    return make_append(BAD, token)


def make_append_after_replacement(store: Store, token: int) -> Write:
    """An append by somebody who was replaced."""
    store.claim(BAD, owner=BOB, lease=LEASE, replacing=token)
    return make_append(BAD, token)


def make_append_past_mail(store: Store, token: int) -> Write:
    """An append that absorbs only some of the mail."""
    store.post(BAD, make_cancel_requested("r-1"))
    store.post(BAD, make_cancel_requested("r-2"))
    return make_append(BAD, token, make_cancel_requested("r-1"), make_instance_completed())


def make_absorbing_append_at_wrong_version(store: Store, token: int) -> Write:
    """An append that would absorb mail, and knows another history."""
    store.post(BAD, make_cancel_requested("r-1"))
    return make_append(BAD, token, make_cancel_requested("r-1"), version=3)


# What is refused, each told from the owner's token of instance "bad", which has two events.
REFUSED: dict[str, Callable[[Store, int], Write]] = {
    "another version": lambda _, token: make_append(BAD, token, version=1),
    "another token": lambda _, token: make_append(BAD, token + 1),
    "a token that no database holds": lambda _, __: make_append(BAD, 2**70),
    "given up": make_append_after_release,
    "replaced": make_append_after_replacement,
    "past mail": make_append_past_mail,
    "absorbs, at another version": make_absorbing_append_at_wrong_version,
    "not there": lambda _, token: make_append("nowhere", token),
    "a gap": lambda _, token: Append(
        instance_id=BAD, events=number_events((make_instance_completed(),), after=3), expected_version=2, token=token
    ),
    "no events": lambda _, token: Append(instance_id=BAD, events=(), expected_version=2, token=token),
    "taken": lambda _, __: make_create(BAD, make_instance_completed()),
    "no beginning": lambda _, __: Create(instance_id="new", events=(make_instance_completed(),)),
    "another's history": lambda _, __: Create(instance_id="new", events=make_history("other")),
}


class WritingContract(StoreContractPart):
    """The laws of write."""

    def test_each_write_is_answered_in_its_place(self, store: Store) -> None:
        """A token for a create, a version for an append, in the order in which they were given."""
        one, two = self.begin(store, instance_id="one"), self.begin(store, instance_id="two")
        writes: list[Write] = [
            make_create("new"),
            make_append("two", two, *[make_step_succeeded()] * 5),
            make_create("newer"),
            make_append("one", one),
        ]
        answers = store.write(writes)
        tokens = [store.load(instance_id).summary.token for instance_id in ("new", "newer")]
        assert [tokens[0], 7, tokens[1], 3] == [*answers]
        assert tokens[0] != tokens[1]
        assert [store.load(instance_id).summary.owner for instance_id in ("new", "newer")] == [ALICE] * 2

    def test_nothing_to_write_is_written(self, store: Store) -> None:
        """A group may be empty."""
        assert [*store.write([])] == []

    def test_a_group_is_durable_for_another_handle(self, store: Store) -> None:
        """Once write returns, all that it did not refuse is there for everybody."""
        token = self.begin(store, instance_id="one")
        store.write([make_append("one", token), make_create("new"), make_append("one", token)])
        again = self.reopen(store)
        assert make_history("one", make_step_started(), make_step_succeeded()) == again.history("one")
        assert make_history("new", make_step_started()) == again.history("new")

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("why", REFUSED)
    def test_a_refused_write_leaves_nothing_and_its_neighbours_alone(self, store: Store, why: str, place: int) -> None:
        """Its answer is the error that it would have met alone; the others are stored, before it and behind it."""
        bad = REFUSED[why](store, self.begin(store, instance_id=BAD))
        before, mail = store.load(BAD), store.mail(BAD)
        with pytest.raises(SagaError) as alone:
            bad.alone(store)
        token = self.begin(store, instance_id="good")
        writes: list[Write] = [
            make_append("good", token, make_step_succeeded(), make_instance_completed()),
            make_create("new"),
        ]
        writes.insert(place, bad)
        answers = [*store.write(writes)]
        refusal = answers.pop(place)
        assert (type(alone.value), str(alone.value)) == (type(refusal), str(refusal))
        assert [4, store.load("new").summary.token] == answers
        assert (store.load("good").summary.state, store.load("good").summary.owner) == ("completed", None)
        assert make_history(
            "good", make_step_started(), make_step_succeeded(), make_instance_completed()
        ) == store.history("good")
        assert (before, mail) == (store.load(BAD), store.mail(BAD))
        assert [row.id for row in store.find()] == [BAD, "good", "new"]

    def test_a_group_may_be_refused_altogether(self, store: Store) -> None:
        """Then each has its own error, and nothing is stored."""
        token = self.begin(store)
        before = store.load("o-1")
        answers = store.write([make_append("o-1", token + 1), make_create("o-1"), make_append("o-1", token, version=7)])
        assert [StoreConflict, InstanceExists, StoreConflict] == [type(answer) for answer in answers]
        assert len({str(answer) for answer in answers}) == 3
        assert before == store.load("o-1")

    def test_the_second_of_one_instance_sees_the_first(self, store: Store) -> None:
        """Writes of one instance are made in their order: what the first left is what the second is compared with."""
        token = self.begin(store)
        first, second = make_append("o-1", token), make_append("o-1", token, make_step_started("charge"), version=3)
        assert [*store.write([first, second])] == [3, 4]
        assert make_history(
            "o-1", make_step_started(), make_step_succeeded(), make_step_started("charge")
        ) == store.history("o-1")

    def test_the_second_of_one_instance_given_first_is_refused(self, store: Store) -> None:
        """Nothing is put in another order for its sake."""
        token = self.begin(store)
        answers = store.write(
            [make_append("o-1", token, make_instance_completed(), version=3), make_append("o-1", token)]
        )
        assert (StoreConflict, 3) == (type(answers[0]), answers[1])
        assert make_history("o-1", make_step_started(), make_step_succeeded()) == store.history("o-1")

    def test_the_same_append_twice_is_made_once(self, store: Store) -> None:
        """The second is refused, whatever it has in common with the first."""
        token = self.begin(store)
        answers = store.write([make_append("o-1", token)] * 2)
        assert (3, StoreConflict) == (answers[0], type(answers[1]))
        assert len(store.history("o-1")) == 3

    def test_the_same_id_is_created_once(self, store: Store) -> None:
        """The first has it."""
        answers = store.write([make_create("o-1"), make_create("o-1", make_step_succeeded())])
        assert (store.load("o-1").summary.token, InstanceExists) == (answers[0], type(answers[1]))
        assert make_history("o-1", make_step_started()) == store.history("o-1")

    def test_an_end_releases_within_a_group(self, store: Store) -> None:
        """Behind an append that ends the instance its owner appends nothing more."""
        token = self.begin(store)
        answers = store.write(
            [
                make_append("o-1", token, make_instance_completed()),
                make_append("o-1", token, make_cancel_requested(), version=3),
            ]
        )
        assert (3, StoreConflict) == (answers[0], type(answers[1]))
        assert (store.load("o-1").summary.state, store.load("o-1").summary.owner) == ("completed", None)

    def test_a_completed_instance_is_sent_back_within_a_group(self, store: Store) -> None:
        """At rest is not the end of the history, here either."""
        self.end(store, make_instance_completed())
        token, other = store.claim("o-1", owner=BOB, lease=LEASE), self.begin(store, instance_id="o-2")
        back = e.CauseRecorded(kind="decision", state="compensating:reserve")
        assert [*store.write([make_append("o-1", token, back, version=3), make_append("o-2", other)])] == [4, 3]
        assert store.load("o-1").summary.state == "compensating:reserve"
        assert [row.id for row in store.find(due=store.load("o-1").summary.updated_at)] == ["o-1", "o-2"]

    def test_mail_is_absorbed_within_a_group(self, store: Store) -> None:
        """Each absorbs its own mail, and no other's."""
        one, two = self.begin(store, instance_id="one"), self.begin(store, instance_id="two")
        for instance_id in ("one", "two"):
            store.post(instance_id, make_cancel_requested("r-1"))
        answers = store.write(
            [
                make_append("one", one, make_cancel_requested("r-1"), make_cancel_requested("never posted")),
                make_append("two", two),
                make_create("new", make_cancel_requested("r")),
            ]
        )
        assert [answers[0], type(answers[1]).__name__] == [4, "MailWaits"]
        assert ((), (make_cancel_requested("r-1"),)) == (store.mail("one"), store.mail("two"))
        for instance_id, request_id in (("one", "never posted"), ("new", "r")):
            store.post(instance_id, make_cancel_requested(request_id))
            assert store.mail(instance_id) == ()

    def test_mail_above_waits_within_a_group(self, store: Store) -> None:
        """What is nested is refused while mail waits above it; its neighbours are not."""
        self.begin(store)
        nested, other = self.nest(store), self.begin(store, instance_id="o-2")
        below = self.begin(store, instance_id="o-2/pay")
        store.post("o-1", make_cancel_requested("r-1"))
        answers = store.write(
            [make_append("o-1/pay", nested), make_append("o-2", other), make_append("o-2/pay", below)]
        )
        assert [
            (type(answer).__name__, answer.instance_id) if isinstance(answer, MailWaits) else answer
            for answer in answers
        ] == [("MailWaits", "o-1"), 3, 3]
        assert make_history("o-1/pay", make_step_started()) == store.history("o-1/pay")

    def test_groups_race_and_each_instance_has_one_winner(self, store: Store) -> None:
        """Of groups that append to the same instances, each append wins or loses by itself, and whole."""
        names = ["a", "b", "c"]
        tokens = {name: self.begin(store, instance_id=name) for name in names}

        def rival(number: int) -> Any:
            both = (
                e.StepStarted(step="charge", attempt=1, key=str(number)),
                make_step_succeeded("charge", str(number)),
            )
            turned = names[number % 3 :] + names[: number % 3]
            return dict(
                zip(turned, store.write([make_append(name, tokens[name], *both) for name in turned]), strict=True)
            )

        answers = race([partial(rival, number) for number in range(6)])
        for name in names:
            winners = [number for number, answer in enumerate(answers) if answer[name] == 4]
            assert [str(winners[0])] * 2 == [
                getattr(event, "key", None) or getattr(event, "result_json", None) for event in store.history(name)[2:]
            ]
            assert len(winners) == 1
            assert len([answer for answer in answers if isinstance(answer[name], StoreError)]) == 5

    @SHARED_STORE
    @given(
        batches=batches(),
        whose=st.lists(st.integers(0, 2), min_size=5, max_size=5),
        stale=st.lists(st.booleans(), min_size=5, max_size=5),
    )
    @example(batches=[[make_cancel_requested("r")], [make_cancel_requested("r")]], whose=[0] * 5, stale=[False] * 5)
    def test_a_group_is_what_its_writes_are_alone(
        self, store: Store, batches: list[list[e.Event]], whose: list[int], stale: list[bool]
    ) -> None:
        """For any appends to some instances, right or wrong: the same answers, histories and rows as one by one."""
        count = len(store.find(limit=1_000_000))
        alone, grouped = [[f"any-{count}-{way}-{number}" for number in range(3)] for way in ("alone", "group")]
        tokens = {name: self.begin(store, instance_id=name) for name in (*alone, *grouped)}
        for name in (*alone, *grouped):
            store.post(name, make_cancel_requested("r"))

        def writes(names: list[str]) -> list[Write]:
            versions, made = dict.fromkeys(names, 2), list[Write]()
            for batch, number, wrong in zip(batches, whose, stale, strict=False):
                name = names[number]
                made.append(make_append(name, tokens[name], *batch, version=versions[name] + wrong))
                versions[name] += len(batch)
            return made

        expected = [self._answer(write, store) for write in writes(alone)]
        assert expected == [
            answer if isinstance(answer, int) else type(answer) for answer in store.write(writes(grouped))
        ]
        for one, other in zip(alone, grouped, strict=True):
            assert store.history(one)[1:] == store.history(other)[1:]
            assert store.mail(one) == store.mail(other)
            told, same = store.load(one).summary, store.load(other).summary
            assert (told.state, told.blocked, told.wake_at, told.length, told.owner) == (
                same.state,
                same.blocked,
                same.wake_at,
                same.length,
                same.owner,
            )

    def _answer(self, write: Write, store: Store) -> int | type[SagaError]:
        try:
            return write.alone(store)
        except SagaError as error:
            return type(error)
