"""Functions as tools."""

from __future__ import annotations

import pytest

import tachograph
from tachograph.events.tool import ToolEnded, ToolStarted
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
