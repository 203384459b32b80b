"""A drive that waits, kept so that it can go on more than once, each time over a store of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exams.model.trees.store import TreeStore
from sagafsm.engine.config import Settings
from sagafsm.engine.drive_loop import DriveLoop
from sagafsm.engine.driven_instance import DrivenInstance
from sagafsm.engine.effects import PendingCall
from sagafsm.engine.journal import Journal
from sagafsm.engine.nested_instances import NestedInstances
from sagafsm.engine.ownership import Lease
from sagafsm.engine.replies import ReplyInterpreter


def nodes_of(node: DrivenInstance) -> Iterator[DrivenInstance]:
    """A node and all below it."""
    yield node
    for child in node.children.values():
        yield from nodes_of(child)


def copied(
    drive: DriveLoop, settings: Settings, store: TreeStore
) -> tuple[DriveLoop, Mapping[PendingCall, PendingCall]]:
    """A drive that goes on by itself over another store, and its calls by those of the first."""
    nodes: dict[int, DrivenInstance] = {}
    root = _copied_node(drive.root, None, settings, store, nodes)
    copy = DriveLoop(
        settings, root, NestedInstances(store, settings, drive.tree.owner, drive.tree.resources), drive.mode
    )
    of: dict[PendingCall, PendingCall] = {}
    for pending, (node, run) in drive._pending.items():
        of[pending] = PendingCall(call=pending.call, handle=pending.handle, late=pending.late, grace=pending.grace)
        copy._pending[of[pending]] = (nodes[id(node)], run)
    return copy, of


def _copied_node(
    node: DrivenInstance,
    parent: DrivenInstance | None,
    settings: Settings,
    store: TreeStore,
    nodes: dict[int, DrivenInstance],
) -> DrivenInstance:
    held = node.journal.lease
    lease = Lease(store, held.instance_id, held.owner, held.token, held.released, held.lost)
    reading = ReplyInterpreter(node.definition, node.reading.instance_id, node.reading.max_payload)
    reading.live = dict(node.reading.live)
    journal = Journal(node.journal.instance, lease, None)
    copy = DrivenInstance(
        settings, node.definition, journal, reading, node.resources, parent=parent, run=node.run, prelude=node.prelude
    )
    copy.under_way, copy.command, copy.posted = dict(node.under_way), node.command, set(node.posted)
    copy._late = list(node._late)
    nodes[id(node)] = copy
    copy.children = {name: _copied_node(child, copy, settings, store, nodes) for name, child in node.children.items()}
    return copy
