"""How many wrong cores the tests tell from the right one: mutants by mutmut, judged by our tests.

    pip install -e '.[dev,mutation]'
    python tests/mutation/run.py [--module core/decide] [--sample 300] [--jobs 2]

Writes RESULT.md. A run of everything takes hours on two cores; verdicts are kept in `--work` and only those that are
missing are looked for, so an interrupted run goes on. The order is drawn by `--seed`, so that what an interrupted run
has judged is a fair sample of each module: `--report` makes a RESULT.md of it. What survived because its tests were
too many for `--budget` is looked at again by `--again --budget 60`. equivalent.toml lists what no test can kill.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NEEDED = ("mutmut", "coverage", "pytest")
PACKAGES = ROOT / "sagafsm"


def _modules(*packages: str) -> tuple[str, ...]:
    files = (path for package in packages for path in sorted((PACKAGES / package).glob("*.py")))
    return tuple(f"{path.parent.name}/{path.stem}" for path in files if path.stem != "__init__")


HISTORY = (
    "history/draft",
    "history/fold",
    "history/instance",
    "history/residue",
    "history/signals",
    "history/step_state",
)
CORE = (*_modules("core"), *HISTORY)
DRIVERS = _modules("engine", "runtime")
# Folders and files of tests in which no mutant runs (their processes are no forks of ours), or that are not about the
# core and would only take time.
LEFT_OUT = (
    *("adapters", "benchmarks", "browser", "cli", "demo", "gallery", "kill", "mutation", "notebook", "reliability"),
    *(
        "render",
        "testing",
        "verify",
        "test_display",
        "test_event_codec",
        "test_every_failure",
        "test_readme",
        "test_typing",
    ),
)
# These walk through whole families of sagas, for a minute each; the small ones of the same model stay in.
NOT_THESE = "not laws_hold and not model_forgets and not model_commits and not cause_recorded and not pair_of_failures"


def main() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"{', '.join(missing)} missing; install with: pip install -e '.[dev,mutation]'")
    sys.path[:0] = [str(HERE.parent), str(ROOT), str(ROOT / "adapters")]
    from mutation.report import write

    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    modules = options.module or [*CORE, *DRIVERS]
    mutants = _mutants(modules, options)
    if not options.report:
        _judge(_chosen(mutants, options), _measures(options), options)
    write(modules, mutants, _verdicts(options), options.budget)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Judge mutants of the core and the drivers by the tests.")
    parser.add_argument("--module", action="append", help="such as core/decide; default: all")
    parser.add_argument("--sample", type=int, help="judge so many, drawn by --seed from all that are asked for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests that one mutant may survive")
    parser.add_argument("--longest", type=float, default=10, help="leave out tests that take more seconds")
    parser.add_argument("--everywhere", action="store_true", help="mutate constants and fields too, outside functions")
    parser.add_argument("--again", action="store_true", help="judge again, and first, what has survived")
    parser.add_argument(
        "--report", action="store_true", help="judge nothing, write RESULT.md of the verdicts that are there"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "sagafsm-mutation")
    return parser.parse_args()


def _mutants(modules: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """All mutants of the modules, made once for each text of a module."""
    import attrs

    from mutation.mutants import mutants_of

    found = []
    for module in modules:
        source = (ROOT / "sagafsm" / f"{module}.py").read_text()
        file = options.work / f"mutants-{module.replace('/', '-')}-{_digest(source)}.json"
        if not file.exists():
            file.write_text(json.dumps([{**attrs.asdict(m), "key": m.key} for m in mutants_of(module, source)]))
        found += [m for m in json.loads(file.read_text()) if options.everywhere or m["in_function"]]
    return found


def _chosen(mutants: list[dict[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.sample is not None and options.sample < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.sample)
    from mutation.report import judged_equivalent

    verdicts = _verdicts(options)
    missing = [mutant for mutant in mutants if mutant["key"] not in verdicts]
    random.Random(options.seed).shuffle(missing)
    total, times, turns = Counter(mutant["module"] for mutant in missing), Counter[str](), dict[str, float]()
    for mutant in missing:
        times[mutant["module"]] += 1
        turns[mutant["key"]] = times[mutant["module"]] / total[mutant["module"]]
    # What is judged when it is interrupted is a fair draw of every module, and more of the core.
    missing.sort(key=lambda mutant: turns[mutant["key"]] * (3 if mutant["module"] in DRIVERS else 1))
    if not options.again:
        return missing
    survived = {key for key, verdict in verdicts.items() if verdict["outcome"] == "survived"} - set(judged_equivalent())
    return [mutant for mutant in mutants if mutant["key"] in survived] + missing


def _measures(options: argparse.Namespace) -> Path:
    """Which lines each test comes by; measured once for each text of a file of tests."""
    sources = "".join(path.read_text() for path in sorted((ROOT / "sagafsm").rglob("*.py")))
    whole = options.work / f"measures-{_digest(sources)}.jsonl"
    files = {str(path.relative_to(ROOT)): _digest(path.read_text()) for path in _files()}
    known = [json.loads(line) for line in whole.read_text().splitlines()] if whole.exists() else []
    known = [line for line in known if files.get(line["file"]) == line["digest"]]
    new = [file for file, digest in files.items() if not any(line["digest"] == digest for line in known)]
    if new:
        print(f"measuring {len(new)} files of tests")
        outs = _work("measure", new, options, [{} for _ in range(options.jobs)])
        for line in (json.loads(line) for out in outs for line in out.read_text().splitlines()):
            file = line["test"].partition("::")[0]
            known.append({**line, "file": file, "digest": files[file]})
    whole.write_text("".join(json.dumps(line) + "\n" for line in known))
    failed = [line["test"] for line in known if not line["passed"]]
    print(f"{len(known)} tests, of which not used, for they fail or take too long when alone in a fork: {failed}")
    return whole


def _files() -> list[Path]:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [file for file in files if not {file.stem, *file.relative_to(ROOT).parts}.intersection(LEFT_OUT)]


def _judge(chosen: list[dict[str, Any]], measures: Path, options: argparse.Namespace) -> None:
    if not chosen:
        return
    orders = []
    for share in range(options.jobs):
        file = options.work / f"share-{share}.jsonl"
        lines = [{k: v for k, v in mutant.items() if k != "key"} for mutant in chosen[share :: options.jobs]]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        orders.append({"mutants": str(file), "measures": str(measures)})
    began = time.monotonic()
    files = [str(file.relative_to(ROOT)) for file in _files()]
    _work("judge", files, options, orders)
    print(f"judged {len(chosen)} mutants in {time.monotonic() - began:.0f} s")


def _verdicts(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    lines = [
        json.loads(line)
        for file in sorted(options.work.glob("verdicts-*.jsonl"))
        for line in file.read_text().splitlines()
        if line.endswith("}")
    ]
    return {line["key"]: line for line in lines}


def _work(task: str, files: list[str], options: argparse.Namespace, orders: list[dict[str, Any]]) -> list[Path]:
    """One pytest a job, each with its share."""
    outs, running = [], []
    stamp = time.strftime("%Y%m%d%H%M%S")
    for share, extra in enumerate(orders):
        place = tempfile.mkdtemp(dir=options.work)
        command = [sys.executable, "-m", "pytest", "-p", "mutation.judge", "-o", "addopts=", "-p", "no:cacheprovider"]
        command += ["-p", "no:faulthandler", "-k", NOT_THESE, "-o", "tmp_path_retention_policy=none"]
        command += [f"--basetemp={place}/tests"]
        out = options.work / f"{'verdicts' if task == 'judge' else task}-{stamp}-{share}.jsonl"
        out.touch()
        order = {
            "task": task,
            "out": str(out),
            "modules": [*CORE, *DRIVERS],
            "share": share,
            "shares": len(orders),
            "budget": options.budget,
            "longest": options.longest,
            "pytest": [*command[:-1], f"--basetemp={place}/new"],
            **extra,
        }
        file = options.work / f"order-{task}-{share}.json"
        file.write_text(json.dumps(order))
        paths = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), str(ROOT / "tests")])
        env = {**os.environ, "JUDGE": str(file), "CI": "1", "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        log = (options.work / f"log-{task}-{share}.txt").open("w")
        running.append(subprocess.Popen([*command, *files], cwd=ROOT, env=env, stdout=log, stderr=log))
        outs.append(out)
    for process in running:
        process.wait()
    return outs


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
