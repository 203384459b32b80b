"""README says what is so: its code runs as written and prints what it says, and its two commands are two."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_code_prints_what_readme_says(tmp_path, monkeypatch):
    """All output in README is the real output of the code before it."""
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    scope = {"__name__": "readme"}
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(block, scope)
    assert "".join(blocks("text")) == printed.getvalue()
    assert scope["instance"].state == "completed"


def test_quick_start_is_two_commands_of_one_line():
    """Under "Quick start" are exactly two fenced commands, each one line: the demo and the tests."""
    quick = re.search(r"^## Quick start\n(.*?)^## ", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    commands = re.findall(r"^```sh\n(.*?)^```$", quick.group(1), re.DOTALL | re.MULTILINE)
    assert [1, 1] == [command.count("\n") for command in commands]
    assert [True, True] == [commands[0].endswith("sagafsm demo\n"), commands[1].endswith("pytest\n")]
