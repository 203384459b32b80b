"""A pytest plugin that judges mutants: the tests are collected once, and each mutant is tried in a fork of that.

A fork puts the mutant's code into the functions that are there already, and runs the tests that come by the changed
lines, until one fails. What is no function's code (a constant, a field's default, a parameter's) is tried in a new
process that imports the mutant. Told by `JUDGE`, a JSON file, what to do: `run.py` writes it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import json
import mmap
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from mutation.mutants import Mutant

ROOT = Path(__file__).parents[2]
MEMORY = 4 << 30  # a mutant that collects for ever fails before the machine does
QUICK = 0.05  # seconds: files of which most tests take less are tried before all that need a driver
FILES = 3  # of tests, that a new process collects
PASSED, FAILED, UNFIT = 0, 1, 3
WAYS = re.compile(r"(memory-|sql-)?(async with sync actions|async|sync)")
ORDER = json.loads(Path(os.environ["JUDGE"]).read_text())


def path_of(module: str) -> Path:
    return ROOT / "sagafsm" / f"{module}.py"


# A new process: the mutant is imported -------------------------------------------------------------------------------


class _MutantLoader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return compile(ORDER["source"], self.path, "exec", dont_inherit=True)


class _MutantFinder:
    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if fullname != "sagafsm." + ORDER["module"].replace("/", "."):
            return None
        file = str(path_of(ORDER["module"]))
        return importlib.util.spec_from_file_location(fullname, file, loader=_MutantLoader(fullname, file))


if ORDER["task"] == "import":
    sys.meta_path.insert(0, _MutantFinder)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(60)


# Trying --------------------------------------------------------------------------------------------------------------


class Tests:
    """The collected tests, and how long each may take."""

    def __init__(self, session: pytest.Session, seconds: dict[str, float]) -> None:
        self.items = {item.nodeid: item for item in session.items}
        self.session = session
        self._seconds = seconds
        self._failed = False
        self._now = mmap.mmap(-1, 8)
        session.config.pluginmanager.register(self)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def all_pass(self, names: Sequence[str]) -> bool:
        """Run them in this process until one fails; one that takes too long ends the process."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number, name in enumerate(names):
            self._now[:] = number.to_bytes(8, "big")
            after = self.items[names[number + 1]] if number + 1 < len(names) else None
            signal.setitimer(signal.ITIMER_REAL, 4 + 8 * self._seconds.get(name, 10))
            self.session.config.hook.pytest_runtest_protocol(item=self.items[name], nextitem=after)
            if self._failed:
                return False
        signal.setitimer(signal.ITIMER_REAL, 0)
        return True

    def in_fork(self, body: Callable[[], int], names: Sequence[str]) -> tuple[str, str | None]:
        """What came of it, and at which test."""
        self._now[:] = bytes(8)
        child = os.fork()
        if child == 0:
            code = UNFIT
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                code = body()
            except BaseException:  # nothing of the child may run on in the parent's code
                code = FAILED
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) in (PASSED, UNFIT):
            return ("survived" if os.WEXITSTATUS(status) == PASSED else "unfit"), None
        timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
        at = int.from_bytes(self._now[:], "big")
        return ("timed out" if timed_out else "killed"), names[at] if at < len(names) else None


def pytest_runtestloop(session: pytest.Session) -> bool:
    signal.alarm(0)
    tasks = {"measure": _measure, "judge": _judge, "import": _import}
    tasks[ORDER["task"]](session)
    return True


def _import(session: pytest.Session) -> None:
    if session.testsfailed:
        os._exit(FAILED)
    tests = Tests(session, ORDER["seconds"])
    names = [name for name in ORDER["tests"] if name in tests.items]
    os._exit(PASSED if names and tests.all_pass(names) else FAILED)


# Measuring -----------------------------------------------------------------------------------------------------------


def _measure(session: pytest.Session) -> None:
    """Which lines of the targets each test comes by, alone in a fork, and how long that takes."""
    import coverage

    files = {str(path_of(module)): module for module in ORDER["modules"]}
    tests = Tests(session, {})
    out = Path(ORDER["out"])

    def measured(name: str) -> int:
        watch = coverage.Coverage(data_file=None, include=list(files), config_file=False)
        watch.start()
        began = time.perf_counter()
        passed = tests.all_pass([name])
        seconds = time.perf_counter() - began
        watch.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a test that comes by no target at all
            data = watch.get_data()
        lines = {files[path]: sorted(data.lines(path) or ()) for path in data.measured_files() if path in files}
        with out.open("a") as file:
            file.write(json.dumps({"test": name, "passed": passed, "seconds": seconds, "lines": lines}) + "\n")
        return PASSED

    gc.freeze()
    for name in list(tests.items)[ORDER["share"] :: ORDER["shares"]]:
        outcome, _ = tests.in_fork(lambda name=name: measured(name), [name])
        if outcome != "survived":
            with out.open("a") as file:
                file.write(json.dumps({"test": name, "passed": False, "seconds": 0, "lines": {}}) + "\n")


# Judging -------------------------------------------------------------------------------------------------------------


def _judge(session: pytest.Session) -> None:
    measures = {line["test"]: line for line in map(json.loads, Path(ORDER["measures"]).read_text().splitlines())}
    seconds = {name: line["seconds"] for name, line in measures.items() if line["passed"] and line["lines"]}
    tests = Tests(session, seconds)
    by_line: dict[tuple[str, int], list[str]] = defaultdict(list)
    by_module: dict[str, list[str]] = defaultdict(list)
    for name, line in measures.items():
        if name in tests.items and line["passed"] and line["seconds"] <= ORDER["longest"]:
            for module, numbers in line["lines"].items():
                by_module[module].append(name)
                for number in numbers:
                    by_line[module, number].append(name)
    sources = {module: path_of(module).read_text() for module in ORDER["modules"]}
    functions = {module: _live_functions(path_of(module), source) for module, source in sources.items()}
    kills: dict[str, Counter[str]] = defaultdict(Counter)
    gc.freeze()
    for line in Path(ORDER["mutants"]).read_text().splitlines():
        mutant = Mutant(**json.loads(line))
        began = time.perf_counter()
        source = mutant.applied(sources[mutant.module])
        swaps = _swaps(functions[mutant.module], path_of(mutant.module), sources[mutant.module], source)
        lines = (range(mutant.start + 1, mutant.stop + 1), range(mutant.first, mutant.last + 1))
        found = ({name for number in numbers for name in by_line[mutant.module, number]} for numbers in lines)
        covering = next(filter(None, found), set())
        names = covering if swaps else set(by_module[mutant.module])
        chosen = _in_order(names, kills[mutant.module], seconds, ORDER["budget"])
        if not chosen:
            outcome, test = "survived", None
        else:
            outcome, test = "unfit", None
            if swaps:
                outcome, test = tests.in_fork(lambda s=swaps, c=chosen: _swapped(tests, s, c), chosen)
            if outcome == "unfit":
                outcome, test = _imported(mutant, source, chosen, seconds)
        if outcome == "killed" and test is not None:
            kills[mutant.module][test] += 1
        verdict = {
            "key": mutant.key,
            "outcome": outcome,
            "test": test,
            "tests": len(chosen),
            "seconds": round(time.perf_counter() - began, 2),
        }
        with Path(ORDER["out"]).open("a") as file:
            file.write(json.dumps(verdict) + "\n")


def _in_order(names: set[str], kills: Counter[str], seconds: dict[str, float], budget: float) -> list[str]:
    """Those that have killed others of this module, then of every file in turn, the quickest first, while there is time.

    The same test over another store or with another orchestrator tells little that is new of the core, and comes last.
    """
    quick = _quick(tuple(seconds.items()))
    kinds, turns = Counter[str](), Counter[str]()
    order: dict[str, tuple[bool, bool, int]] = {}
    for name in sorted(names, key=lambda name: (seconds[name], name)):
        kind, file = WAYS.sub("", name), name.partition("::")[0]
        order[name] = (file not in quick, kinds[kind] > 0, turns[file])
        kinds[kind] += 1
        turns[file] += 1
    ordered = []
    for name in sorted(names, key=lambda n: (-kills[n] / (0.05 + seconds[n]), *order[n], n)):
        budget -= seconds[name]
        if ordered and budget < 0:
            break
        ordered.append(name)
    return ordered


@functools.cache
def _quick(taken: tuple[tuple[str, float], ...]) -> set[str]:
    files: dict[str, list[float]] = defaultdict(list)
    for name, seconds in taken:
        files[name.partition("::")[0]].append(seconds)
    return {file for file, seconds in files.items() if statistics.median(seconds) < QUICK}


def _swapped(tests: Tests, swaps: Sequence[tuple[FunctionType, CodeType]], names: Sequence[str]) -> int:
    for function, code in swaps:
        try:
            function.__code__ = code
        except ValueError:  # another number of free variables
            return UNFIT
    return PASSED if tests.all_pass(names) else FAILED


def _imported(mutant: Mutant, source: str, names: list[str], seconds: dict[str, float]) -> tuple[str, str | None]:
    file = Path(f"{ORDER['out']}.import.json")
    files = list(dict.fromkeys(name.partition("::")[0] for name in names))[:FILES]
    names = [name for name in names if name.partition("::")[0] in files]
    limits = {name: seconds[name] for name in names}
    order = {"task": "import", "module": mutant.module, "source": source, "tests": names, "seconds": limits}
    file.write_text(json.dumps(order))
    command = [*ORDER["pytest"], *files]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "JUDGE": str(file)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    if done.returncode == PASSED:
        return "survived", None
    return ("timed out" if done.returncode == -signal.SIGALRM else "killed"), None


# Code ----------------------------------------------------------------------------------------------------------------


Key = tuple[str, int]


def _codes(code: CodeType, times: Counter[str] | None = None) -> Iterator[tuple[Key, CodeType]]:
    """The codes of all functions in it, by qualified name and how many of that name come before."""
    times = Counter() if times is None else times
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield (const.co_qualname, times[const.co_qualname]), const
            times[const.co_qualname] += 1
            yield from _codes(const, times)


def _live_functions(path: Path, source: str) -> list[tuple[Key, FunctionType]]:
    codes = {(code.co_qualname, code.co_firstlineno): key for key, code in _codes(_compiled(path, source))}
    found = []
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == str(path):
            key = codes.get((thing.__code__.co_qualname, thing.__code__.co_firstlineno))
            if key is not None:
                found.append((key, thing))
        elif type(thing) is functools._lru_cache_wrapper:
            thing.cache_clear()  # what the right code gave is no mutant's
    return found


def _compiled(path: Path, source: str) -> CodeType:
    return compile(source, str(path), "exec", dont_inherit=True)


def _outside(code: CodeType) -> list[Any]:
    """What runs at import: the module's code and its classes', without the functions'."""
    shape = []
    for const in code.co_consts:
        if not isinstance(const, CodeType):
            shape.append((type(const), const))
        elif const.co_flags & 1:  # CO_OPTIMIZED: a function's
            shape.append((const.co_qualname, const.co_varnames[: const.co_argcount + const.co_kwonlyargcount]))
        else:
            shape.append(_outside(const))
    return [code.co_code, code.co_names, shape]


def _swaps(
    functions: Sequence[tuple[Key, FunctionType]], path: Path, old: str, new: str
) -> list[tuple[FunctionType, CodeType]]:
    """What to put where, when the mutant differs inside functions alone; otherwise nothing."""
    was, now = _compiled(path, old), _compiled(path, new)
    if _outside(was) != _outside(now):
        return []
    codes = dict(_codes(now))
    return [(function, codes[key]) for key, function in functions if key in codes]
