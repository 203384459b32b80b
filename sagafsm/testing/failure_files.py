"""Failures that a verification found, kept as one file each, so that they can be replayed until they are fixed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from sagafsm.errors import RequestError

if TYPE_CHECKING:
    from sagafsm.definition.definition import HasDefinition
    from sagafsm.verify.report.report import Finding, Report

FOLDER = Path(".sagafsm") / "failures"
Verdict = Literal["FIXED", "STILL FAILS", "CANNOT TELL"]
# What one schedule alone cannot reach says nothing about that schedule.
_IGNORED_KINDS = frozenset({"never_reached"})


@attrs.frozen(kw_only=True)
class KeptFailure:
    """One finding, and what it takes to replay it.

    `saga` is its name. `test` is the pytest node that found it; or else `target` and `world` say where saga and world
    are, as module:name, and `inputs` and `signals` what they were given: a list, or the module:name of one.
    """

    saga: str
    kind: str
    step: str
    schedule: str
    input: int
    message: str
    test: str | None = None
    target: str | None = None
    world: str | None = None
    inputs: Sequence[Any] | str | None = None
    signals: Mapping[str, Any] = attrs.Factory(dict)
    strict: bool = False

    @classmethod
    def of(cls, finding: Finding, saga: str, **origin: Any) -> KeptFailure:
        """What is kept of a finding; `origin`: where it was found."""
        return cls(
            saga=saga,
            kind=finding.kind,
            step=finding.step,
            schedule=finding.schedule,
            input=finding.input,
            message=str(finding),
            **origin,
        )

    @property
    def file_name(self) -> str:
        """The name of its file: the same for the same failure of the same test or target."""
        identity = (self.test, self.target, self.world, self.saga, self.kind, self.step, self.schedule, self.input)
        digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=4).hexdigest()
        words = re.sub(r"[^\w-]+", "-", "-".join(filter(None, (self.saga, self.step, self.kind))))
        return f"{words[:80]}-{digest}.json"


def select_replayable(report: Report) -> list[Finding]:
    """The findings that count and that a schedule shows: not those that say that nothing was tried."""
    from sagafsm.verify.report.oracle import VACUOUS  # noqa: PLC0415 - whoever has a report has it

    return [finding for finding in report.errors if finding.kind not in VACUOUS]


def write_failure(folder: Path, failure: KeptFailure) -> Path:
    """Write a failure to a file of its own, whole or not at all, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / failure.file_name
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(attrs.asdict(failure), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return path


def read_failures(folder: Path) -> Iterator[tuple[Path, KeptFailure]]:
    """The failures of a folder, in order of their names; none, where there is no folder."""
    for path in sorted(folder.glob("*.json")):
        yield path, read_failure(path)


def read_failure(path: Path) -> KeptFailure:
    """The failure that a file holds.

    Raises:
        RequestError: there is no such file, or it is damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RequestError(f"there is no kept failure {str(path)!r} (see the files in {str(FOLDER)!r})") from error
    except (OSError, ValueError) as error:
        raise _make_failure_file_error(path, str(error)) from error
    if not isinstance(value, dict):
        raise _make_failure_file_error(path, "it holds no JSON object")
    wrong = list(_find_failure_file_damage(value))
    if wrong:
        raise _make_failure_file_error(path, "; ".join(wrong))
    return KeptFailure(**value)


def _find_failure_file_damage(value: Mapping[str, Any]) -> Iterator[str]:
    fields = attrs.fields_dict(KeptFailure)
    yield from (f"it has a field {name!r} too many" for name in value if name not in fields)
    for name, field in fields.items():
        if name not in value:
            if field.default is attrs.NOTHING:
                yield f"its field {name!r} is missing"
        elif not isinstance(value[name], _TYPES[name]):
            yield f"its field {name!r} is {value[name]!r}"


_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("saga", "kind", "step", "schedule", "message"), (str,)),
    **dict.fromkeys(("test", "target", "world"), (str, type(None))),
    "input": (int,),
    "inputs": (list, str, type(None)),
    "signals": (dict,),
    "strict": (bool,),
}


def _make_failure_file_error(path: Path, why: str) -> RequestError:
    return RequestError(f"kept failure {str(path)!r} is damaged ({why}): delete it, and verify again")


def replay_failure(
    failure: KeptFailure, saga: HasDefinition, world: Any, *, inputs: Any = None, **options: Any
) -> tuple[Verdict, Report]:
    """Run the kept schedule once more, and say what has become of the failure.

    FIXED: nothing is wrong with it any more. CANNOT TELL: it could not be run, as it names a point that there is no
    more, or no input completes; the report's findings say which.
    """
    from sagafsm.verify import verify  # noqa: PLC0415 - reading failures does not need it
    from sagafsm.verify.report.oracle import VACUOUS  # noqa: PLC0415

    if isinstance(inputs, Sequence) and not isinstance(inputs, str) and failure.input < len(inputs):
        inputs = [inputs[failure.input]]
    report = verify(saga, world, inputs=inputs, schedule=failure.schedule, **options)
    kinds = {finding.kind for finding in report.errors} - _IGNORED_KINDS
    if kinds - VACUOUS:
        return "STILL FAILS", report
    return ("CANNOT TELL" if kinds else "FIXED"), report
