from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.server import bodies
from tachograph.server.bodies import LINES, MOST_BYTES, PACKED, events_of, unpacked
from tachograph.server.problems import Refusal
from tests.strategies import Tape, runs


def refused(action: Callable[[], object]) -> tuple[int, str, str]:
    """Status, kind and parameter of the refusal."""
    with pytest.raises(Refusal) as caught:
        action()
    problem = caught.value.problem
    return problem.status, problem.type.rpartition(":")[2], problem.parameter


def lines(events: list[Event]) -> bytes:
    """Events as an export writes them."""
    return b"".join(codec.to_json(event) + b"\n" for event in events)


@given(runs())
def test_both_forms_hold_the_same_events(events: list[Event]) -> None:
    """Lines and the compact form give back what was written, in order."""
    assert events_of(lines(events), {"content-type": LINES}) == events
    assert events_of(codec.encode_all(events), {"content-type": PACKED}) == events


@given(st.binary(max_size=4_000), st.integers(1, 3))
def test_what_was_packed_is_unpacked(data: bytes, members: int) -> None:
    """Both encodings, of one member or several, give the very bytes."""
    cut = len(data) // members or 1
    parts = [data[start : start + cut] for start in range(0, len(data), cut)] or [b""]
    assert unpacked(b"".join(map(gzip.compress, parts)), "gzip") == data
    assert unpacked(b"".join(map(zstandard.compress, parts)), " ZSTD") == data
    assert unpacked(data, "") == unpacked(data, "identity") == data


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_body_that_grows_too_large_is_stopped_on_the_way(name: str) -> None:
    """A small body that would unpack to gigabytes is refused before it has become much more than it may."""
    block = bytes(MOST_BYTES // 4)
    pack = gzip.compress if name == "gzip" else zstandard.compress
    bomb = pack(block) * 5
    assert len(bomb) < MOST_BYTES // 50
    assert refused(lambda: unpacked(bomb, name)) == (413, "too-large", "")
    assert len(unpacked(pack(block) * 4, name)) == MOST_BYTES


def test_a_plain_body_has_the_same_bound() -> None:
    """What is not packed may not be larger either."""
    assert refused(lambda: unpacked(bytes(MOST_BYTES + 1), "")) == (413, "too-large", "")


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_body_that_is_cut_or_broken_is_refused(name: str) -> None:
    """Half a body is none, even where its first half reads well."""
    pack = gzip.compress if name == "gzip" else zstandard.compress
    whole = pack(b"line\n" * 10_000)
    for broken in (whole[:-1], b"", b"no such thing", whole[:10] + b"\xff" * 20):
        found = refused(partial(unpacked, broken, name))
        assert found == (400, "malformed-encoding", "Content-Encoding")


def test_a_window_beyond_what_every_reader_has_is_refused() -> None:
    """A frame may not ask for more memory than RFC 8878 wants of everybody."""
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(bytes(range(256)) * 100_000) + compressor.flush()
    assert refused(lambda: unpacked(body, "zstd"))[:2] == (400, "malformed-encoding")


@pytest.mark.parametrize("encoding", ["br", "gzip, zstd", "deflate"])
def test_other_encodings_are_not_understood(encoding: str) -> None:
    """The answer says which are."""
    with pytest.raises(Refusal) as caught:
        unpacked(b"", encoding)
    assert (caught.value.problem.status, caught.value.headers) == (415, {"Accept-Encoding": "zstd, gzip"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "Input data was truncated"),
        (b"[1]", "Expected `object`, got `array`"),
        (b"{}", "Object missing required field `run`"),
        (b'{"run":"r","seq":0,"at":0,"mono":0,"step":0}', "no body with a type"),
        (
            b'{"run":"r","seq":0,"at":0,"mono":0,"step":0,"body":{"type":"note"}}',
            "Object missing required field `name`",
        ),
        (
            b'{"run":"r","seq":0,"at":0,"mono":0,"step":0,"body":{"type":"new","n":99999999999999999999}}',
            "can't serialize ints",
        ),
    ],
)
def test_a_malformed_line_is_named(line: bytes, reason: str) -> None:
    """Which line it is, counted from 1 with the empty ones, and what is wrong with it."""
    good = lines(Tape().events) + b"\n"
    with pytest.raises(Refusal) as caught:
        events_of(good + line, {"content-type": LINES})
    problem = caught.value.problem
    assert (problem.status, problem.parameter, problem.facts) == (422, "line 2", {"line": 2})
    assert problem.detail.startswith("line 2: ")
    assert reason in problem.detail


@pytest.mark.parametrize("body", [b"", b"\x90\x90", b"\xdd\xff\xff\xff\xff", b"\x91\x80", b"\xc0"])
def test_what_is_no_list_of_events_is_refused(body: bytes) -> None:
    """The compact form is one list, whatever its head promises."""
    assert refused(lambda: events_of(body, {"content-type": PACKED})) == (422, "malformed-event", "body")


def test_unknown_fields_must_be_json_too() -> None:
    """The compact form can carry what JSON cannot; nobody could be shown that."""
    strange = {"type": "new", "x": msgspec.msgpack.Ext(5, b"")}
    body = msgspec.msgpack.encode([{"run": "r", "seq": 0, "at": 0, "mono": 0, "step": 0, "body": strange}])
    assert refused(lambda: events_of(body, {"content-type": PACKED})) == (422, "malformed-event", "line 1")


def test_events_of_a_later_version_are_not_guessed_at() -> None:
    """Only versions that this server knows how to lift."""
    for version in (str(codec.SCHEMA_VERSION + 1), "0", "x", ""):
        header = {"content-type": f"{PACKED}; version={version}"}
        found = refused(partial(events_of, b"\x90", header))
        assert found == (415, "unsupported-version", "Content-Type")
    assert events_of(b"\x90", {"content-type": f"{PACKED}; version={codec.SCHEMA_VERSION}"}) == []


def test_empty_lines_cost_next_to_nothing() -> None:
    """Lines without anything are passed over, none is kept, and those behind them are still counted."""
    tape = Tape()
    tape.begin()
    blank = b"\n \r\n" * 250_000
    tracemalloc.start()
    try:
        assert events_of(blank + lines(tape.events) + blank, {"content-type": LINES}) == tape.events
        assert tracemalloc.get_traced_memory()[1] < 10 * len(blank)
    finally:
        tracemalloc.stop()
    wrong = partial(events_of, blank + b" {}", {"content-type": LINES})
    assert refused(wrong) == (422, "malformed-event", "line 500001")


def test_more_events_than_a_request_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In either form."""
    tape = Tape()
    tape.begin()
    tape.finish()
    monkeypatch.setattr(bodies, "MOST_EVENTS", 1)
    assert refused(lambda: events_of(lines(tape.events), {"content-type": LINES}))[:2] == (413, "too-large")
    assert refused(lambda: events_of(codec.encode_all(tape.events), {"content-type": PACKED}))[:2] == (413, "too-large")
