# ruff: noqa: S101 -- a contract asserts
"""Requests from outside: posted once, read in order, absorbed by the owner."""

from __future__ import annotations

from functools import partial

import pytest

from sagafsm.errors import IllegalTransition, MailWaits
from sagafsm.history import events as e
from sagafsm.store import Store
from sagafsm.testing.races import race, select_failures, select_successes
from sagafsm.testing.sample_histories import (
    make_cancel_requested,
    make_history,
    make_instance_blocked,
    make_instance_completed,
    make_instance_failed,
    make_signal_received,
    number_events,
)
from sagafsm.testing.store_contract.base import ID, StoreContractPart
from sagafsm.value import replace


class RequestsContract(StoreContractPart):
    """The laws of post and mail."""

    def test_post_needs_no_token_and_changes_no_version(self, store: Store) -> None:
        """Anybody posts, whoever owns the instance: only the mailbox changes."""
        self.begin(store)
        before = store.load(ID).summary
        store.post(ID, make_cancel_requested("r-1"))
        after = store.load(ID).summary
        assert (before.mail, after.mail) == (0, 1)
        assert (before.version, before.token, before.owner) == (after.version, after.token, after.owner)
        assert (before.updated_at, before.lease_until) == (after.updated_at, after.lease_until)

    def test_mail_is_read_oldest_first(self, store: Store) -> None:
        """Requests come out in the order in which they were posted, as they were posted."""
        self.begin(store)
        requests = tuple(replace(make_cancel_requested(f"r-{number}"), by=f"{number} «é»") for number in (3, 1, 2))
        for request in requests:
            store.post(ID, request)
        assert requests == store.mail(ID) == self.reopen(store).mail(ID)

    def test_mail_is_empty_at_first(self, store: Store) -> None:
        """Nobody has posted, nothing waits."""
        self.begin(store)
        assert store.mail(ID) == ()

    def test_the_same_request_counts_once(self, store: Store) -> None:
        """A `request_id` posted again changes nothing, whatever else it says now."""
        self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        store.post(ID, replace(make_cancel_requested("r-1"), reason="another"))
        assert (make_cancel_requested("r-1"),) == store.mail(ID)
        assert store.load(ID).summary.mail == 1

    def test_an_absorbed_request_counts_once_too(self, store: Store) -> None:
        """A request that was absorbed changes nothing when it is posted again, even at rest."""
        token = self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        self.add(store, token, make_cancel_requested("r-1"))
        store.post(ID, make_cancel_requested("r-1"))
        assert (store.mail(ID), store.load(ID).summary.mail) == ((), 0)
        self.add(store, token, make_instance_failed())
        store.post(ID, make_cancel_requested("r-1"))
        assert store.mail(ID) == ()

    def test_the_same_request_of_another_instance_is_another(self, store: Store) -> None:
        """Request ids are unique in one mailbox, not in all."""
        self.begin(store, instance_id="o-1")
        self.begin(store, instance_id="o-2")
        store.post("o-1", make_cancel_requested("r-1"))
        store.post("o-2", make_cancel_requested("r-1"))
        assert ((make_cancel_requested("r-1"),), (make_cancel_requested("r-1"),)) == (
            store.mail("o-1"),
            store.mail("o-2"),
        )

    def test_posts_of_one_request_race_and_count_once(self, store: Store) -> None:
        """Any number of posts of one request at once are one request, and no error."""
        self.begin(store)
        answers = race([partial(store.post, ID, make_cancel_requested("r-1"))] * 8)
        assert answers == [None] * 8
        assert (make_cancel_requested("r-1"),) == store.mail(ID)

    def test_posts_of_many_requests_race_and_all_arrive(self, store: Store) -> None:
        """No request is lost to another that comes at the same moment."""
        self.begin(store)
        requests = [make_cancel_requested(f"r-{number}") for number in range(8)]
        assert race([partial(store.post, ID, request) for request in requests]) == [None] * 8
        assert {request.request_id for request in requests} == {request.request_id for request in store.mail(ID)}
        assert store.load(ID).summary.mail == 8

    def test_post_is_refused_at_rest(self, store: Store) -> None:
        """What has ended takes no request; the error says how it stands."""
        for instance_id, ending, state in (
            ("o-1", make_instance_completed(), "completed"),
            ("o-2", make_instance_failed(), "failed"),
        ):
            self.end(store, ending, instance_id=instance_id)
            with pytest.raises(IllegalTransition) as caught:
                store.post(instance_id, make_cancel_requested("r-1"))
            assert (instance_id, state) == (caught.value.instance_id, caught.value.state)
            assert store.mail(instance_id) == ()

    @pytest.mark.parametrize(
        ("request_", "operation"),
        [
            (make_cancel_requested(), "cancel"),
            (make_signal_received(), "signal approval"),
            (e.DecisionMade(decision="retry", step="charge", request_id="o-1#7"), "retry"),
        ],
    )
    def test_a_refused_post_says_what_was_refused(self, store: Store, request_: e.Request, operation: str) -> None:
        """Cancels, signals and decisions are all requests; the error names the one that came."""
        self.end(store, make_instance_failed())
        with pytest.raises(IllegalTransition) as caught:
            store.post(ID, request_)
        told = f"instance 'o-1' is failed, which does not allow {operation!r} (allowed: nothing)"
        assert told == str(caught.value)

    def test_every_kind_of_request_is_kept_as_it_is(self, store: Store) -> None:
        """A signal keeps its payload, a decision its result."""
        self.begin(store)
        requests = (
            make_signal_received(),
            e.DecisionMade(decision="resolve(result)", step="pay", by="Zoë", result_json='"€"', request_id="o-1#7"),
            make_cancel_requested(),
        )
        for request in requests:
            store.post(ID, request)
        assert requests == store.mail(ID) == self.reopen(store).mail(ID)

    def test_post_is_taken_while_pending_and_while_blocked(self, store: Store) -> None:
        """Parked and unowned instances take requests, too."""
        store.create("o-1", make_history("o-1"))
        token = self.begin(store, instance_id="o-2")
        self.add(store, token, make_instance_blocked(), instance_id="o-2")
        for instance_id in ("o-1", "o-2"):
            store.post(instance_id, make_cancel_requested("r-1"))
            assert (make_cancel_requested("r-1"),) == store.mail(instance_id)

    def test_a_request_and_an_end_race_and_none_is_overtaken(self, store: Store) -> None:
        """Either the end is durable and the request is refused, or the request waits and the end is refused."""
        for turn in range(10):
            instance_id = f"o-{turn}"
            token = self.begin(store, instance_id=instance_id)
            end: tuple[e.Event, ...] = number_events((make_instance_completed(),), after=2)
            answers = race(
                [
                    partial(store.append, instance_id, end, expected_version=2, token=token),
                    partial(store.post, instance_id, make_cancel_requested("r-1")),
                ]
            )
            assert len(select_successes(answers)) == 1
            refused = select_failures(answers)[0]
            ended = store.load(instance_id).summary.is_at_rest
            assert isinstance(refused, IllegalTransition if ended else MailWaits)
            assert (0 if ended else 1) == len(store.mail(instance_id))
