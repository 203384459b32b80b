"""A drive that waits, kept so that it can go on more than once, each time over a store of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from model.trees.store import TreeStore
from sagafsm.drivers.drive import Drive
from sagafsm.drivers.effects import Pending
from sagafsm.drivers.journal import Journal
from sagafsm.drivers.lease import Lease
from sagafsm.drivers.node import Node
from sagafsm.drivers.reading import Reading
from sagafsm.drivers.settings import Settings
from sagafsm.drivers.tree import Tree


def nodes_of(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in node.children.values():
        yield from nodes_of(child)


def copied(drive: Drive, settings: Settings, store: TreeStore) -> tuple[Drive, Mapping[Pending, Pending]]:
    """A drive that goes on by itself over another store, and its calls by those of the first."""
    nodes: dict[int, Node] = {}
    root = _copied_node(drive.root, None, settings, store, nodes)
    copy = Drive(settings, root, Tree(store, settings, drive.tree.owner, drive.tree.resources), drive.mode)
    of: dict[Pending, Pending] = {}
    for pending, (node, run) in drive._pending.items():
        of[pending] = Pending(call=pending.call, handle=pending.handle, late=pending.late, grace=pending.grace)
        copy._pending[of[pending]] = (nodes[id(node)], run)
    return copy, of


def _copied_node(node: Node, parent: Node | None, settings: Settings, store: TreeStore, nodes: dict[int, Node]) -> Node:
    held = node.journal.lease
    lease = Lease(store, held.instance_id, held.owner, held.token, held.released, held.lost)
    reading = Reading(node.definition, node.reading.instance_id, node.reading.max_payload)
    reading.live = dict(node.reading.live)
    journal = Journal(node.journal.instance, lease, None)
    copy = Node(
        settings, node.definition, journal, reading, node.resources, parent=parent, run=node.run, prelude=node.prelude
    )
    copy.under_way, copy.command, copy.posted = dict(node.under_way), node.command, set(node.posted)
    copy._late = list(node._late)
    nodes[id(node)] = copy
    copy.children = {name: _copied_node(child, copy, settings, store, nodes) for name, child in node.children.items()}
    return copy
