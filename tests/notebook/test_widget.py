"""The widget's state is all of it, whenever a page asks; nobody but a notebook pays for it; marimo takes it as it is."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from sagafsm import Orchestrator, Saga
from sagafsm.notebook import inspect
from sagafsm.notebook.inspector.widget import Inspector


@pytest.fixture
def inspection():
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input, lambda result: None)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        made = inspect("o-1", orchestrator)
        yield made
        made.close()


def test_a_page_that_is_loaded_anew_gets_the_present_state(inspection):
    assert isinstance(inspection, Inspector)
    first = inspection.get_state()["frame"]
    inspection.run()
    again = inspection.get_state()["frame"]
    assert (1, 4) == (first["total"], again["total"])
    assert (True, "completed") == (again["full"], again["state"])
    assert inspection.frames.seq == again["seq"]


def test_a_command_comes_in_as_a_message(inspection):
    inspection._handle_custom_msg({"do": "select", "step": "reserve", "target": "action"}, [])
    assert ("reserve", "action") == inspection.session.selected
    inspection._handle_custom_msg("nonsense", [])
    assert "" == inspection.session.message.text


def test_neither_script_nor_style_refers_to_anything_outside():
    for text in (str(Inspector._esm), str(Inspector._css)):
        assert "http" not in text
        assert "import " not in text
        assert "url(" not in text.replace("URL.", "")


@pytest.mark.parametrize("module", ["sagafsm", "sagafsm.verify", "sagafsm.render.renderers"])
def test_only_the_notebook_imports_widgets(module):
    code = (
        f"import sys, {module}; print([name for name in ('ipywidgets', 'anywidget', 'IPython') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == told.stdout.strip()


@pytest.mark.skipif(find_spec("marimo") is None, reason="marimo is not installed")
def test_marimo_takes_it_as_a_widget(inspection):
    import marimo

    element = marimo.ui.anywidget(inspection)
    assert inspection is element.widget
    assert "marimo-anywidget" in element.text
