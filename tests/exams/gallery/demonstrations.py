"""For each mistake a schedule, written down by hand, under which it shows: (input, schedule, what is then found)."""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """With this input, counted from 0, and this schedule, the trial finds `kind`."""

    schedule: dict[str, str]
    kind: str
    input: int = 0


# Where the carrier refuses, the last step fails and everything before it is to be undone.
LAST: dict[str, str] = {"carrier.put#1": "raise_before"}

SHOWN: dict[str, Shown] = {
    # mistakes_undo
    "reads_missing_result": Shown({"hotels.put#1": "raise_after"}, "stuck"),
    "ignores_missing_result": Shown({"hotels.put#1": "raise_after"}, "left_behind"),
    "no_compensation": Shown(LAST, "left_behind"),
    "undoes_with_another_id": Shown(LAST, "left_behind"),
    "undoes_only_the_first": Shown(LAST, "left_behind"),
    "swaps_back": Shown({**LAST, "cluster.set#4": "crash_after"}, "left_behind"),
    "undoes_all_of_the_customer": Shown(LAST, "left_behind"),
    "undoes_by_a_step_forward": Shown(LAST, "left_behind"),
    "closes_before_it_is_empty": Shown(LAST, "stuck"),
    # mistakes_refund
    "swallows_its_errors": Shown({**LAST, "bank.free#1": "raise_before"}, "left_behind"),
    "minds_what_is_already_gone": Shown({**LAST, "tickets.drop#1": "crash_after"}, "stuck"),
    "refunds_without_key": Shown({**LAST, "bank.give#1": "crash_after"}, "left_behind"),
    "refunds_under_the_charges_key": Shown(LAST, "left_behind"),
    "refunds_once_an_attempt": Shown({**LAST, "bank.move#1": "raise_after"}, "left_behind"),
    "refunds_without_the_fee": Shown(LAST, "left_behind"),
    "trusts_the_status_it_was_told": Shown(LAST, "left_behind"),
    "gives_back_what_was_not_taken": Shown(LAST, "left_behind"),
    "undo_leaves_a_trace": Shown(LAST, "left_behind"),
    # mistakes_doubt
    "repeats_without_key": Shown({"tickets.add#1": "raise_after"}, "differs"),
    "fresh_key": Shown({"tickets.put#1": "raise_after"}, "differs"),
    "attempt_in_the_key": Shown({"tickets.put#1": "raise_after"}, "differs"),
    "own_counter_as_key": Shown({"tickets.put#1": "crash_after"}, "differs"),
    "undoes_the_last_attempt_only": Shown({"tickets.put#1": "raise_after", **LAST}, "left_behind"),
    "loops_by_itself": Shown({"tickets.add#1": "raise_after"}, "differs"),
    "translates_its_timeouts": Shown({"tickets.put#1": "raise_after"}, "left_behind"),
    "lists_another_error": Shown({"tickets.put#1": "raise_after"}, "left_behind"),
    "makes_up_a_result": Shown({"tickets.put#1": "raise_after", **LAST}, "left_behind"),
    "swallows_a_refusal": Shown({"tickets.put#1": "raise_before"}, "differs"),
    "takes_doubt_for_failure": Shown({"tickets.put#1": "raise_after"}, "left_behind"),
    "two_effects_in_one_action": Shown({"tickets.put#2": "raise_before"}, "left_behind"),
    "repeats_a_list_from_the_start": Shown({"tickets.add#2": "raise_before"}, "differs"),
    "leaves_a_pending_row": Shown({"tickets.put#2": "raise_before"}, "left_behind"),
    # mistakes_probe
    "probe_always_says_done": Shown({"hotels.put#1": "crash_before"}, "differs"),
    "probe_looks_in_the_wrong_place": Shown({"hotels.put#1": "raise_after"}, "left_behind"),
    "probe_asks_by_customer": Shown({"hotels.put#1": "crash_before"}, "differs"),
    "probe_gives_another_shape": Shown({"hotels.put#1": "raise_after", **LAST}, "stuck"),
    "probe_says_not_done_of_a_part": Shown({"hotels.put#1": "raise_after"}, "left_behind"),
    "lands_after_its_undo": Shown({"hotels.put_unfenced#1": "late"}, "late"),
    "lands_after_its_probe": Shown({"hotels.put_unfenced#1": "late"}, "late"),
    # mistakes_order
    "pivot_too_early": Shown({}, "stuck", input=1),
    "refused_behind_the_pivot": Shown(LAST, "stuck"),
    "effect_denied": Shown(LAST, "left_behind"),
    "mail_too_early": Shown(LAST, "left_behind"),
    "member_undoes_both": Shown(LAST, "stuck"),
    "one_row_for_two_members": Shown(LAST, "left_behind"),
    # mistakes_nested
    "nested_without_compensation": Shown(LAST, "left_behind"),
    "nested_shares_a_key": Shown(LAST, "left_behind"),
    "reads_what_was_skipped": Shown(LAST, "stuck", input=1),
    "waits_for_nobody": Shown({}, "stuck"),
    # mistakes_process
    "swallows_an_interrupt": Shown({"tickets.put#1": "interrupt"}, "differs"),
    "returns_in_finally": Shown({"tickets.put#1": "raise_before"}, "differs"),
    "undo_swallows_an_interrupt": Shown({**LAST, "tickets.withdraw#1": "interrupt"}, "left_behind"),
    "forgets_to_await": Shown(LAST, "left_behind"),
    "memory_beside_the_result": Shown({**LAST, "tickets.withdraw#1": "raise_before"}, "stuck"),
    "tuple_becomes_a_list": Shown(LAST, "left_behind"),
    "result_changed_later": Shown(LAST, "left_behind"),
    "undo_with_a_budget_of_one": Shown({**LAST, "tickets.withdraw#1": "raise_before"}, "stuck"),
    "undo_gives_up_at_once": Shown({**LAST, "tickets.withdraw#1": "raise_before"}, "stuck"),
    "looks_before_it_leaps": Shown({"tickets.add#1": "duplicate"}, "differs"),
    # mistakes_world
    "draws_the_warehouse": Shown({}, "not_deterministic"),
    "rows_with_a_serial_number": Shown({}, "not_deterministic"),
}
