from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import CodecError
from tachograph.events import codec
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Unknown
from tachograph.store.sqlite import pages
from tachograph.store.sqlite.pages import PAGE_EVENTS, Packer, spelled
from tests.queries.kept import batch
from tests.strategies import Tape, any_runs, bodies

packer = Packer(zstandard.ZstdDecompressor().decompress)
squeeze = zstandard.ZstdCompressor().compress


class Payloads:
    """Numbers for messages, and back."""

    def __init__(self) -> None:
        self.hashes: list[tuple[str, int]] = []

    def of(self, events: Sequence[Event]) -> list[int]:
        """A number for each message; 0 for those without a hash."""
        return [self._number(event.body.message) for event in events if isinstance(event.body, MessageAppended)]

    def names(self, numbers: Sequence[int]) -> Mapping[int, tuple[str, int]]:
        """Hash and size by number."""
        return {number: self.hashes[number - 1] for number in numbers}

    def _number(self, content: Content) -> int:
        if content.hash is None:
            return 0
        self.hashes.append((content.hash, content.size))
        return len(self.hashes)


def packed(events: Sequence[Event], payloads: Payloads) -> bytes:
    """A page of these events."""
    return squeeze(spelled(events, iter(payloads.of(events))))


@given(events=any_runs.filter(bool))
@settings(deadline=None)
def test_a_page_reads_back_as_it_was(events: list[Event]) -> None:
    """Whatever a run says, its page gives the same events back."""
    numbered = [msgspec.structs.replace(event, run="r", seq=seq + 7) for seq, event in enumerate(batch(events).events)]
    payloads = Payloads()
    page = packed(numbered, payloads)
    assert packer.unpack("r", 7, page, codec.SCHEMA_VERSION, payloads.names) == numbered


@given(body=bodies, tomorrow=st.booleans())
@settings(deadline=None)
def test_any_body_reads_back(body: object, tomorrow: bool) -> None:
    """Any type with any values, known or not, with fields from tomorrow."""
    fields = {"": {"y": [2]}} if isinstance(body, Unknown) else {"body": {"x": 1}, "": {"y": [2]}}
    extra = fields if tomorrow else None
    events = [Event("r", 0, -5, 2**62, 0, body, extra)]  # type: ignore[arg-type]
    payloads = Payloads()
    page = packed(events, payloads)
    assert packer.unpack("r", 0, page, codec.SCHEMA_VERSION, payloads.names) == events


@given(events=any_runs.filter(bool), cuts=st.lists(st.integers(1, 5), min_size=40, max_size=40))
@settings(deadline=None)
def test_merged_pages_read_like_the_loose_ones(events: list[Event], cuts: list[int]) -> None:
    """Joining pages that follow on each other loses nothing, whatever types are in them."""
    numbered = [msgspec.structs.replace(event, run="r", seq=seq) for seq, event in enumerate(batch(events).events)]
    payloads = Payloads()
    loose, start = [], 0
    for size in cuts:
        if part := numbered[start : start + size]:
            loose.append(packed(part, payloads))
        start += size
    whole = packer.merge(loose)
    assert [count for count, _ in whole] == [min(start, len(numbered))]
    read = packer.unpack("r", 0, squeeze(whole[0][1]), codec.SCHEMA_VERSION, payloads.names)
    assert read == numbered[:start]


def test_merging_keeps_pages_within_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page gets more events than it may have, and none grows much beyond its bytes."""
    tape = Tape()
    for _ in range(PAGE_EVENTS * 2):
        tape.step()
    pieces = [packed(tape.events[start : start + 300], Payloads()) for start in range(0, len(tape.events), 300)]
    assert [count for count, _ in packer.merge(pieces)] == [900, 900, 200]
    monkeypatch.setattr(pages, "PAGE_BYTES", 1)
    assert [count for count, _ in packer.merge(pieces)] == [300] * 6 + [200]


def test_events_of_an_older_version_are_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page written by an earlier codec goes through its lifts."""
    tape = Tape()
    tape.begin("old")
    page = packed(tape.events, Payloads())
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(codec, "_LIFTS", {1: lambda fields: {**fields, "body": {**fields["body"], "name": "lifted"}}})
    assert packer.unpack(tape.run, 0, page, 1, Payloads().names)[0].body.name == "lifted"


def test_messages_are_found_without_reading_the_rest() -> None:
    """Seq, role and payload of each message; types from tomorrow are passed over."""
    tape = Tape()
    tape.begin()
    tape.say("user", {"content": "a"}, by_hash=True)
    tape.add(Unknown("message_append", {"role": 7}))
    tape.say("tool", {"content": "b"}, by_hash=True)
    page = packed(tape.events, Payloads())
    assert list(packer.messages(10, page)) == [(11, None, "user", 1), (13, None, "tool", 2)]


def test_a_message_whose_payload_is_gone_has_no_content() -> None:
    """The event is there all the same."""
    tape = Tape()
    tape.say("user", {"content": "a"}, by_hash=True)
    event = packer.unpack(tape.run, 0, packed(tape.events, Payloads()), codec.SCHEMA_VERSION, lambda numbers: {})[0]
    assert event.body == MessageAppended(role="user", message=Content(level="none"))


@pytest.mark.parametrize("damage", [b"", b"not a block", squeeze(b"\x93not a page")])
def test_damage_is_named(damage: bytes) -> None:
    """Bytes that are no page raise CodecError, with the run and where in it."""
    with pytest.raises(CodecError, match="page 4 of run r"):
        packer.unpack("r", 4, damage, codec.SCHEMA_VERSION, lambda numbers: {})
