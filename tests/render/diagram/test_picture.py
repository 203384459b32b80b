"""The picture of a saga: an SVG file that needs nothing beside it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from sagafsm import Saga
from support.clock import FakeClock
from support.shown import EVIL, order

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("steps", [1, 6, 30])
def test_it_is_a_file_of_its_own(steps: int) -> None:
    """Well-formed XML with its style within it; nothing loaded, no script; the same for the same saga."""
    svg = order(steps, FakeClock()).to_svg()
    root = ET.fromstring(svg)
    assert f"{SVG}svg" == root.tag
    assert {"width", "height", "viewBox", "class"} <= set(root.attrib)
    assert f"{SVG}style" in [element.tag for element in root]
    assert "reserve_stock" in "".join(root.itertext())
    assert not re.search(r"<script|@import|href|url\((?!#)", svg)
    assert svg == order(steps, FakeClock()).to_svg()


@pytest.mark.parametrize("text", EVIL)
def test_no_title_ends_the_picture(text: str) -> None:
    """It is text in it."""
    saga = Saga("order")
    saga.add_step("reserve", lambda: None, title=text)
    root = ET.fromstring(saga.to_svg())
    assert not [element for element in root.iter() if element.tag in (f"{SVG}script", f"{SVG}img")]
    assert text in "".join(root.itertext()) + "".join(root.attrib.values())
