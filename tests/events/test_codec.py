from __future__ import annotations

import contextlib
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tachograph.errors import CodecError
from tachograph.events import codec
from tachograph.events.call import CallEnded
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note, Unknown
from tachograph.events.usage import Usage
from tests.events import golden
from tests.strategies import bodies, json_values, runs, texts

SAMPLES = golden.samples()
sample = pytest.mark.parametrize("sample", [pytest.param(each, id=each.name) for each in SAMPLES])
field_names = texts.filter(lambda name: name not in ("type", ""))


@st.composite
def damaged_samples(draw: st.DrawFn) -> bytes:
    """The bytes of a sample with up to three of them overwritten."""
    data = draw(st.sampled_from(SAMPLES)).data
    place, new = draw(st.integers(0, len(data) - 3)), draw(st.binary(max_size=3))
    return data[:place] + new + data[place + len(new) :]


def event(body: Body, extra: dict[str, Any] | None = None) -> Event:
    """An event around a body."""
    return Event("0197", 3, 5, 8, 2, body, extra)


@sample
def test_both_spellings_of_an_old_event_are_read_alike(sample: golden.Sample) -> None:
    """What any version wrote is read for ever, and its JSON means the same as its MessagePack."""
    read = codec.decode(sample.data, sample.version)
    assert read == codec.from_json(sample.json, sample.version)
    assert read.seq == sample.event["seq"]
    assert type(read.body) is codec.BODY_TYPES.get(sample.type, Unknown)


@sample
def test_an_old_event_loses_nothing_when_written_again(sample: golden.Sample) -> None:
    """Reading and writing gives back every field, known or not."""
    if sample.version != codec.SCHEMA_VERSION:
        pytest.skip("lifted events are written in the new form")
    assert msgspec.json.decode(codec.to_json(codec.decode(sample.data))) == sample.event
    assert msgspec.msgpack.decode(codec.encode(codec.from_json(sample.json))) == msgspec.msgpack.decode(sample.data)


@sample
def test_the_schema_describes_an_old_event(sample: golden.Sample) -> None:
    """A sample of a known type satisfies the exported JSON Schema; a type of a later version does not."""
    validator = Draft202012Validator(codec.json_schema())
    assert validator.is_valid(sample.event) is (sample.type in codec.BODY_TYPES)


def test_every_event_type_has_a_full_sample() -> None:
    """No event type or field comes without a golden sample: run `python -m tests.events.golden` and read it."""
    assert golden.uncovered() == {}


def test_the_schema_is_one() -> None:
    """The exported schema is itself a valid JSON Schema and refuses an event without its envelope."""
    schema = codec.json_schema()
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors({"body": {"type": "loss"}})]


def test_several_events_are_the_array_of_each() -> None:
    """`encode_all` writes a MessagePack array of what `encode` writes, and `decode_all` reads one."""
    events = [codec.decode(each.data) for each in SAMPLES]
    data = codec.encode_all(events)
    assert data == b"\xdc" + len(events).to_bytes(2, "big") + b"".join(map(codec.encode, events))
    assert codec.decode_all(data) == events


@given(bodies)
def test_any_event_reads_back_equal(body: Body) -> None:
    """Whatever its body says, an event survives both spellings."""
    original = event(body)
    assert codec.decode(codec.encode(original)) == original
    assert codec.from_json(codec.to_json(original)) == original


@given(runs())
def test_a_run_reads_back_equal(events: list[Event]) -> None:
    """A whole run survives `encode_all`, unknown types included."""
    assert codec.decode_all(codec.encode_all(events)) == events


@given(st.dictionaries(field_names, json_values, max_size=3), st.dictionaries(field_names, json_values, max_size=3))
def test_unknown_fields_survive_both_spellings(outside: dict[str, Any], inside: dict[str, Any]) -> None:
    """Fields of a later version, around the body and in it, come through a reader and writer of this one."""
    known = msgspec.json.decode(codec.to_json(event(Note(name="n", data=inline("1")))))
    newer = {**outside, **known, "body": {**inside, **known["body"]}}
    newer.pop("extra", None)
    through_json = codec.to_json(codec.from_json(msgspec.json.encode(newer)))
    through_bytes = codec.to_json(codec.decode(codec.encode(codec.from_json(through_json))))
    assert msgspec.json.decode(through_json) == msgspec.json.decode(through_bytes) == newer


def test_unknown_fields_of_inner_structs_survive() -> None:
    """A field that a later version adds to usage, cost or content is kept where it stood."""
    newer = msgspec.json.decode(codec.to_json(event(CallEnded(status="completed", usage=Usage(input_uncached=1)))))
    newer["body"]["usage"]["thought"] = 7
    data = msgspec.msgpack.encode(newer)
    read = codec.decode(data)
    assert read.body == CallEnded(status="completed", usage=Usage(input_uncached=1))
    assert read.extra == {"body": {"usage": {"thought": 7}}}
    assert msgspec.json.decode(codec.to_json(codec.decode(codec.encode(read)))) == newer


def test_what_an_older_version_set_aside_is_read_in_its_place() -> None:
    """A field that an older version kept without knowing it is an ordinary field for the version that does."""
    aside = {"": {"zone": "eu"}, "body": {"data": {"text": "1", "size": 1}, "later": True}}
    read = codec.decode(codec.encode(event(Note(name="n"), aside)))
    assert read.body == Note(name="n", data=inline("1"))
    assert read.extra == {"": {"zone": "eu"}, "body": {"later": True}}


def test_an_unknown_type_is_kept_whole() -> None:
    """An event of a type from a later version is `Unknown` with all its fields, and is written as it was."""
    body = b'{"type":"from_tomorrow","deep":{"a":[1,null]}}'
    line = b'{"run":"r","seq":1,"at":2,"mono":3,"step":0,"body":' + body + b',"zone":"eu"}'
    read = codec.from_json(line)
    assert read == Event("r", 1, 2, 3, 0, Unknown("from_tomorrow", {"deep": {"a": [1, None]}}), {"": {"zone": "eu"}})
    assert msgspec.json.decode(codec.to_json(codec.decode(codec.encode(read)))) == msgspec.json.decode(line)


def test_old_versions_are_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of version 1 pass every lift up to the present version, in order, in both spellings."""
    lifts = {
        1: lambda fields: {**fields, "body": {**fields["body"], "name": fields["body"]["title"] + "+1"}},
        2: lambda fields: {**fields, "body": {"type": "note", "name": fields["body"]["name"] + "+2"}},
    }
    monkeypatch.setattr(codec, "_LIFTS", lifts)
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 3)
    old = {"run": "r", "seq": 0, "at": 0, "mono": 0, "step": 0, "body": {"type": "note", "title": "t"}}
    lifted = Event("r", 0, 0, 0, 0, Note(name="t+1+2"))
    assert codec.decode(msgspec.msgpack.encode(old), 1) == lifted
    assert codec.decode_all(msgspec.msgpack.encode([old]), 1) == [lifted]
    assert codec.from_json(msgspec.json.encode(old), 1) == lifted


@given(st.binary(max_size=60) | damaged_samples())
def test_damaged_bytes_are_an_event_or_an_error(data: bytes) -> None:
    """No bytes make a reader fail with anything but CodecError."""
    for read in (codec.decode, codec.decode_all, codec.from_json):
        with contextlib.suppress(CodecError):
            read(data)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"run":"r","seq":1,"at":2,"mono":3,"step":0}',
        b'{"run":"r","seq":1,"at":2,"mono":3,"step":0,"body":{}}',
        b'{"run":"r","seq":1,"at":2,"mono":3,"step":0,"body":{"type":7}}',
        b'{"run":"r","seq":1,"at":2,"mono":3,"step":0,"body":{"type":"note","name":"n"},"extra":[1]}',
        b'{"run":"r","seq":1,"at":2,"mono":3,"step":0,"body":{"type":"note","name":"n"},"extra":{"body":1}}',
        b'{"run":"r","seq":"1","at":2,"mono":3,"step":0,"body":{"type":"note","name":"n"}}',
        b'{"run":"r","seq":1,"at":2,"mono":3,"step":0,"body":{"type":"note"}}',
        b"[" * 5000,
    ],
)
def test_json_that_is_no_event_is_refused(line: bytes) -> None:
    """JSON without an envelope, a typed body or a required field is a CodecError."""
    with pytest.raises(CodecError):
        codec.from_json(line)


@pytest.mark.parametrize("write", [codec.encode, codec.to_json, lambda each: codec.encode_all([each])])
def test_text_that_is_not_unicode_is_refused(write: Any) -> None:
    """A lone surrogate cannot be written; sanitising replaces it before an event is made."""
    with pytest.raises(CodecError):
        write(event(Note(name="\ud800")))


def test_infinite_figures_read_back_from_bytes() -> None:
    """MessagePack keeps the infinite threshold of a limit that only warns."""
    body = LimitHit(metric="cost", threshold=math.inf)
    assert codec.decode(codec.encode(event(body))).body == body


def test_defaults_are_left_out() -> None:
    """An event spends bytes only on what it says."""
    assert codec.to_json(event(Note(name="n", data=Content(level="none")))) == (
        b'{"run":"0197","seq":3,"at":5,"mono":8,"step":2,"body":{"type":"note","name":"n","data":{"level":"none"}}}'
    )
