"""Functions as tools."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest

import tachograph
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.instrument.functions import MARK
from tachograph.testing import Captured


def test_the_tool_decorator_records_arguments_and_result(events: Captured) -> None:
    """Arguments by parameter name, however they were passed; a wrong call fails as it would have."""

    @tachograph.tool(classification="read")
    def look_up(key: str, *, depth: int = 1) -> dict[str, int]:
        return {key: depth}

    assert look_up("a", depth=2) == {"a": 2}
    with pytest.raises(TypeError, match="missing"):
        look_up()  # type: ignore[call-arg]
    assert [event.body.arguments.text for event in events.of(ToolStarted)] == [
        '{"key":"a","depth":2}', '{"args":[],"kwargs":{}}',
    ]  # fmt: skip
    assert [event.body.state for event in events.of(ToolEnded)] == ["completed", "failed"]


def test_a_recording_function_names_what_it_records() -> None:
    """Who records calls by itself finds the function without that; a decorator around it is another one."""

    def look_up(key: str) -> str:
        return key

    recording = tachograph.tool(name="finder", classification="read")(look_up)

    @wraps(recording)
    def around(*args: Any) -> Any:
        return recording(*args)

    assert getattr(recording, MARK) == (look_up, "finder", "read")
    assert recording.__wrapped__ is look_up  # type: ignore[attr-defined]
    assert around.__wrapped__ is recording
