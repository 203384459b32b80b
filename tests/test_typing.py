"""The public API under both type checkers: `tests/typing/api.py` says what must hold, and what must be an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
API = "tests/typing/api.py"
# They take half a minute, and pyright fetches a Node.js where there is none: a person who tries the tests need not.
in_ci = pytest.mark.skipif("CI" not in os.environ, reason="runs where CI is set, as .ci/run does")


def check(*command: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@in_ci
def test_mypy_agrees() -> None:
    """Under mypy strict all that is said of the API holds, and what must be an error is one."""
    status, told = check("mypy", "--strict", "--warn-unused-ignores", API)

    assert (0, "Success: no issues found in 1 source file\n") == (status, told)


@in_ci
def test_pyright_agrees() -> None:
    """Under pyright's strict mode, too."""
    status, told = check("pyright", API)

    assert (0, "0 errors, 0 warnings, 0 informations") == (status, told.strip().splitlines()[-1]), told


@in_ci
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_wrong_use_is_found(checker: str, tmp_path: Path) -> None:
    """The positive control: a file that uses the API wrongly fails."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from sagafsm import Retry\n\nRetry(backoff=3)\n", encoding="utf-8")

    status, told = check(checker, str(wrong))

    assert (1, True) == (status, "backoff" in told), told
