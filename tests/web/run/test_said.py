from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.events import ids
from tachograph.events.content import Content, inline
from tachograph.queries.transcript import Said
from tachograph.web import links
from tachograph.web.run.said import Layout, notes
from tests.queries.views.talk import asking, result


def _said(node: int, role: str, message: Any, **facts: Any) -> Said:
    text = msgspec.json.encode(message).decode()
    return Said(node, role, text, inline(text), **facts)


def _row(step: int, name: str, call_id: str | None = None, **facts: Any) -> dict[str, Any]:
    return {
        "step": step, "name": name, "call_id": call_id, "state": "completed", "reason": None, "duration_ns": 5, **facts
    }  # fmt: skip


RUN = "01a20065-6fe7-7cda-8f91-89a700000000"


def test_a_result_stands_beside_its_call() -> None:
    """The message that carried it is not shown again; the call has what became of it."""
    said = (
        _said(1, "assistant", asking(("c1", "search", {"q": 1}), ("c2", "pay", {}), said="Let me look.")),
        _said(2, "tool", result("c2", "paid")),
        _said(3, "tool", result("c1", "found")),
    )
    rows = [_row(7, "search", "c1"), _row(8, "pay", "c2", state="rejected", reason="too much")]
    [shown] = Layout(RUN, said, {1: 6}, {6: rows}).shown(said)
    assert [part.text for part in shown.parts] == ["Let me look."]
    search, pay = shown.asks
    assert (search.name, search.seq, [part.text for part in search.result], search.state) == (
        "search", 3, ["found"], "completed",
    )  # fmt: skip
    assert (pay.name, pay.seq, pay.state, pay.reason, pay.href) == (
        "pay", 2, "rejected", "too much", links.step(ids.step_id(RUN, 8)),
    )  # fmt: skip


def test_several_results_in_one_message_each_find_their_call() -> None:
    """What else that message says stays where it is, and each result knows its place in it."""
    both = [{"type": "tool_result", "tool_use_id": name, "content": name.upper()} for name in ("a", "b")]
    calls = [{"type": "tool_use", "id": call, "name": name, "input": {}} for call, name in (("b", "f"), ("a", "g"))]
    said = (
        _said(1, "assistant", {"role": "assistant", "content": calls}),
        _said(2, "user", {"role": "user", "content": [*both, {"type": "text", "text": "and go on"}]}),
    )  # fmt: skip
    asked, rest = Layout(RUN, said, {}, {}).shown(said)
    assert [(ask.name, ask.seq, ask.place, ask.result[0].text) for ask in asked.asks] == [
        ("f", 2, 1, "B"), ("g", 2, 0, "A"),
    ]  # fmt: skip
    assert [part.text for part in rest.parts] == ["and go on"]


def test_each_conversation_is_paired_for_itself() -> None:
    """A call that was copied into a second conversation has the result of that one."""
    said = (
        _said(1, "assistant", asking(("c", "f", {}))),
        _said(2, "assistant", asking(("c", "f", {}))),
        _said(3, "tool", result("c", "of the second")),
    )
    one, other = Layout(RUN, said, {}, {}, {1: 1, 2: 2, 3: 2}).shown(said)
    assert (one.asks[0].seq, other.asks[0].seq) == (None, 3)


def test_one_message_alone_has_all_that_it_says() -> None:
    """A result without its call is shown, and so is a call without its result, which may stand elsewhere."""
    message = _said(3, "tool", result("c", "found"))
    [part] = Layout(RUN, (message,), {}, {}).whole(message).parts
    assert (part.kind, part.parts[0].text) == ("result", "found")
    asks = _said(4, "assistant", asking(("c", "f", {})))
    assert Layout(RUN, (asks,), {}, {}).whole(asks).asks[0].is_alone


def test_a_message_that_is_too_large_is_left_out() -> None:
    """Its size stands for it, and where it is; what was never kept is no such thing."""
    large = Said(1, "user", None, Content(hash="ab", size=900_000), whole=False)
    gone = Said(2, "user", None, Content(level="none", size=5))
    first, second = Layout(RUN, (large, gone), {}, {}).shown((large, gone))
    assert (first.left_out, first.href, second.left_out) == (900_000, f"/runs/{RUN}/transcript/1", None)
    assert second.notes == ("Text of 5 B was not kept",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (inline('"whole"'), ()),
        (Content(hash="ab", size=2_048, level="hashed"), ("Only the hash of 2 KiB was kept",)),
        (Content(level="pending"), ("Waits to be masked, then it is shown",)),
        (inline('"a"', full_size=4_096), ("Cut when it was recorded: 3 B of 4 KiB were kept",)),
        (inline('"a"', redacted={"email": 2, "key": 1}), ("Masked: email × 2", "Masked: key")),
        (inline('"a"', marks=("nan",)), ("Replaced when it was recorded: nan",)),
        (Content(level="none", marks=("shed",)), ("Given up because the journal was full",)),
    ],
)
def test_what_became_of_a_content(content: Content, expected: tuple[str, ...]) -> None:
    """Each thing that was done to it is a sentence."""
    assert notes(content) == expected
