"""Which instances of many are shown to somebody, in which order, and how many there are of each state. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from sagafsm.store import Summary
from sagafsm.view.listing import ORDER, summary_standing

# So many rows are shown, and so many more each time that more are asked for.
PAGE = 100
MOST_SHOWN = 500


@attrs.frozen(kw_only=True)
class Question:
    """What somebody asks to see: instances that hold every word of `text`, in one of the `chosen` states, if any are.

    `nested`: those too that are nested in others. `shown` is how many rows at most.
    """

    text: str = ""
    chosen: frozenset[str] = frozenset()
    nested: bool = False
    shown: int = PAGE

    def toggled(self, state: str) -> Question:
        """The question with a state chosen, or, where it was, not chosen any more."""
        return attrs.evolve(self, chosen=self.chosen ^ {state}, shown=PAGE)

    def with_more(self) -> Question:
        """The question for more rows."""
        return attrs.evolve(self, shown=min(self.shown + PAGE, MOST_SHOWN))


@attrs.frozen(kw_only=True)
class Found:
    """What was found in a store: summaries by id, and the states of which there are more than were read."""

    summaries: Mapping[str, Summary] = attrs.Factory(dict)
    cut: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Overview:
    """The rows to show, of `matching` that there are; `counts` tells how many match the text, by state.

    `cut` names the states of which there are more than were read.
    """

    rows: tuple[Summary, ...]
    matching: int
    counts: Mapping[str, int]
    cut: frozenset[str] = frozenset()

    @property
    def is_more(self) -> bool:
        """Whether more rows could be shown."""
        return len(self.rows) < min(self.matching, MOST_SHOWN)


def overview(found: Found, question: Question) -> Overview:
    """What of all that was found answers a question: what is blocked first, then what changed last."""
    texts = question.text.casefold().split()
    named = [
        (summary_standing(one).word, one)
        for one in found.summaries.values()
        if (question.nested or "/" not in one.id) and _holds(one, texts)
    ]
    numbers = Counter(word for word, _ in named)
    rows = sorted((one for word, one in named if not question.chosen or word in question.chosen), key=_place)
    return Overview(
        rows=tuple(rows[: question.shown]),
        matching=len(rows),
        counts={word: numbers[word] for word in ORDER if numbers[word] or word in question.chosen},
        cut=found.cut,
    )


def _holds(one: Summary, texts: Iterable[str]) -> bool:
    told = f"{one.id}\n{one.saga}\n{one.state}\n{summary_standing(one).word}".casefold()
    return all(text in told for text in texts)


def _place(one: Summary) -> tuple[bool, float, str]:
    return one.blocked is None, -one.updated_at.timestamp(), one.id
