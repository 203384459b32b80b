"""A real JupyterLab in a headless Chromium: one server for all scenarios, and for each a notebook of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

KERNEL = {"name": "python3", "display_name": "Python 3"}
# A news popup would cover the page, and a look for updates asks another machine.
_QUIET = '{"fetchNews": "false", "checkForUpdates": false}'
_SETTINGS = "@jupyterlab/apputils-extension"


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@attrs.frozen(kw_only=True)
class Lab:
    """A server of notebooks that lie in `work`."""

    port: int
    token: str
    work: Path

    def url(self, path: str) -> str:
        """Where a page of it is, for who may look at it."""
        joint = "&" if "?" in path else "?"
        return f"http://127.0.0.1:{self.port}/{path}{joint}token={self.token}"


@contextmanager
def lab_server(folder: Path) -> Iterator[Lab]:
    """A server that reads and writes nothing outside its folder; it ends with the block, by its handle."""
    lab = Lab(port=free_port(), token=secrets.token_hex(16), work=folder / "work")
    lab.work.mkdir()
    settings = folder / "settings" / _SETTINGS
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(_QUIET)
    with (folder / "server.log").open("w") as log, served(_command(lab), _surroundings(folder), log) as server:
        wait_for_url(lab.url("api"), server, folder / "server.log")
        yield lab


def _command(lab: Lab) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": lab.port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": lab.work,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": lab.token,
        "LabApp.expose_app_in_browser": True,
        "JupyterNotebookApp.expose_app_in_browser": True,
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]


def _surroundings(folder: Path) -> dict[str, str]:
    """This process's environment, but nothing of the user's: neither read nor written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST", "COV_"))}
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    return kept | {name: str(folder / where) for name, where in own.items()}


@contextmanager
def served(command: list[str], env: Mapping[str, str], log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server of any kind; it ends with the block, by its handle."""
    server = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for_url(url: str, server: subprocess.Popen[bytes], log: Path, *, within: float = 60) -> None:
    """Return once a server answers; fail with what it wrote when it ended, or does not."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the server does not answer:\n{log.read_text()}")
