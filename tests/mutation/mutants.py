"""What mutmut makes of a module: its operators and its walk, on all functions.

mutmut itself can only place its mutants in functions without decorators; a property or a context manager of ours is no
less in need of a test, and we place the mutants ourselves, so we let its visitor in there, too. Of the three wrong
texts that it makes of one, of which the others differ in case alone, we take the first.
"""

from __future__ import annotations

from collections import Counter

import attrs
import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import NEVER_MUTATE_FUNCTION_NAMES, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode


@attrs.frozen(kw_only=True)
class Mutant:
    """One change of a module: the lines from `start` to before `stop`, counted from 0, become `lines`.

    `first` and `last` are the lines of the expression or statement that was changed, counted from 1.
    """

    module: str
    function: str
    in_function: bool
    first: int
    last: int
    start: int
    stop: int
    before: str
    after: str
    nth: int
    lines: tuple[str, ...]

    @property
    def key(self) -> str:
        """What names it, wherever in its module the function stands."""
        return f"{self.module}:{self.function}: {self.before} -> {self.after} #{self.nth}"

    def applied(self, source: str) -> str:
        """The module's source with this change."""
        lines = source.splitlines()
        return "\n".join([*lines[: self.start], *self.lines, *lines[self.stop :]]) + "\n"


class _Visitor(MutationVisitor):
    def __init__(self) -> None:
        super().__init__(mutation_operators, IgnoredCode(set(), set(), set()))
        self.where: list[tuple[int, str, int, int]] = []
        self._names: list[str] = []
        self._statements: dict[int, int] = {}
        self._statement = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        return super().on_visit(node)

    def on_leave(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()
        super().on_leave(node)

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Module):
            self._statements = {id(statement): number for number, statement in enumerate(node.body)}
        self._statement = self._statements.get(id(node), self._statement)
        if isinstance(node, cst.FunctionDef):
            return node.name.value in NEVER_MUTATE_FUNCTION_NAMES
        return super()._skip_node_and_children(node)

    def _create_mutations(self, node: cst.CSTNode) -> None:
        before = len(self.mutations)
        super()._create_mutations(node)
        if isinstance(node, cst.BaseString):
            del self.mutations[before + 1 :]
        if len(self.mutations) > before:
            place = self.get_metadata(PositionProvider, node)
            where = (self._statement, ".".join(self._names), place.start.line, place.end.line)
            self.where += [where] * (len(self.mutations) - before)


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module that is Python, and unlike the module and the others."""
    visitor = _Visitor()
    tree = MetadataWrapper(cst.parse_module(source)).visit(visitor)
    pieces = [tree.code_for_node(statement) for statement in tree.body]
    begin, end = source.index("".join(pieces)), len("".join(pieces))
    head, foot = source[:begin], source[begin + end :]
    seen, times, found = {source}, Counter[tuple[str, str, str]](), list[Mutant]()
    for (number, function, first, last), mutation in zip(visitor.where, visitor.mutations, strict=True):
        changed = tree.body[number].deep_replace(mutation.original_node, mutation.mutated_node)
        mutated = head + "".join([*pieces[:number], tree.code_for_node(changed), *pieces[number + 1 :]]) + foot
        if mutated in seen or not _compiles(mutated):
            continue
        seen.add(mutated)
        start, stop, lines, before, after = _difference(source, mutated)
        times[function, before, after] += 1
        mutant = Mutant(
            module=module,
            function=function or "<module>",
            in_function=isinstance(mutation.contained_by_top_level_function, cst.FunctionDef),
            first=first,
            last=last,
            start=start,
            stop=stop,
            before=before,
            after=after,
            nth=times[function, before, after],
            lines=lines,
        )
        assert mutated == mutant.applied(source)
        found.append(mutant)
    return found


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _difference(old: str, new: str) -> tuple[int, int, tuple[str, ...], str, str]:
    was, now = old.splitlines(), new.splitlines()
    start = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    tail = 0
    while tail < min(len(was), len(now)) - start and was[-1 - tail] == now[-1 - tail]:
        tail += 1
    gone, come = was[start : len(was) - tail], now[start : len(now) - tail]
    before, after = (" ".join(line.strip() for line in lines) for lines in (gone, come))
    return start, len(was) - tail, tuple(come), before, after
