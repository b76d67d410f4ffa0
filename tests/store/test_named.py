from __future__ import annotations

import typing

from msgspec.structs import replace

from tachograph.events.codec import BODY_TYPES
from tachograph.events.content import Content, digest, inline
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Unknown
from tachograph.events.tool import ToolEnded
from tachograph.store.named import FIELDS, named, without
from tachograph.store.ports import Position
from tests.contracts.erasing import rich_run
from tests.queries.kept import batch


def test_every_field_that_holds_content_is_known() -> None:
    """An event type that gets another content brings it here."""
    found = {
        kind: {name for name, hint in typing.get_type_hints(kind).items() if Content in (hint, *typing.get_args(hint))}
        for kind in BODY_TYPES.values()
    }
    assert {kind: set(names) for kind, names in FIELDS.items()} == {
        kind: names for kind, names in found.items() if names
    }


def test_only_what_is_kept_elsewhere_is_named() -> None:
    """Text in its place names nothing, nor what was not kept, nor a result whose text is that of a message."""
    apart = Content(hash="ab", size=9)
    assert list(named(Note(name="n", data=apart))) == [apart]
    assert list(named(Note(name="n", data=inline("1")))) == []
    assert list(named(Note(name="n"))) == []
    assert list(named(Note(name="n", data=Content(hash="ab", level="none")))) == []
    assert list(named(ToolEnded(state="completed", result=Content(hash="ab", level="message")))) == []
    said = Content(hash="ab", level="message")
    assert list(named(MessageAppended(role="tool", message=said))) == [said]
    assert list(named(Unknown("from_tomorrow", {"data": {"hash": "ab"}}))) == []


def test_a_batch_without_some_runs() -> None:
    """Their events go, with the contents that no other event names; the position and what is replaced stay."""
    gone, kept = rich_run("gone", "secret one"), rich_run("kept", "secret two")
    whole = batch(gone.events, kept.events, replace=[gone.run])
    loose = digest(b"loose")
    whole = replace(whole, payloads={**whole.payloads, loose: b"loose"}, position=Position("j", 1, 2))
    left = without(whole, {gone.run})
    assert left.events == batch(kept.events).events
    assert left.payloads == batch(kept.events).payloads
    assert (left.position, left.replace) == (whole.position, whole.replace)
