from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given

from tachograph.events.content import Content, inline
from tachograph.queries.logs import contents
from tachograph.queries.logs.contents import GONE, NOTHING, Piece, both, piece, raw, reader, tool_results
from tachograph.store.ports import Store
from tachograph.store.query import Query
from tests.queries.kept import batch
from tests.strategies import Tape, json_values


@given(json_values)
def test_json_stays_byte_for_byte(value: object) -> None:
    """Recorded JSON goes into an answer as it stands."""
    text = json.dumps(value)
    assert msgspec.json.encode({"a": raw(text)}) == b'{"a":' + text.encode() + b"}"


@pytest.mark.parametrize("text", ["{", "NaN", "", '"\\ud800"', "[1,]", "1 2", '"\\x"', '"a\x00"', "\ud800"])
def test_what_is_no_json(text: str) -> None:
    """Text that is not JSON becomes a JSON string, so that the answer around it stays readable."""
    shown = text.encode("utf-8", "replace").decode()
    assert msgspec.json.decode(msgspec.json.encode([raw(text)])) == [shown]


def test_columns_of_a_content() -> None:
    """A content stands in two columns: its text, or the payload that holds it."""
    assert both("input") == ("input", "input_payload")
    assert piece({"input": None, "input_payload": 7, "output": 1}, "input") == Piece(None, 7)


def _payloads(store: Store, *texts: str) -> list[int]:
    tape = Tape("payloads")
    tape.begin()
    for text in texts:
        tape.step(input=inline(text))
    store.append(batch(tape.events))
    rows = store.find(Query("steps", columns=("step", "input_payload"), order=("step",), limit=None)).rows
    return [row["input_payload"] for row in rows if row["step"]]


def _of(size: int, letter: str = "x") -> str:
    return '"' + letter * (size - 2) + '"'


def test_pieces_are_read_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is apart is fetched up to the bound, the smallest first, and all together up to the bound of an answer."""
    small, middle, large = _payloads(store, _of(600, "a"), _of(700, "b"), _of(800, "c"))
    pieces = [Piece(None, large), Piece(None, small), Piece(None, middle), Piece("[1]", None), Piece(None, None)]

    def sizes(each: int) -> list[object]:
        value = reader(store, pieces, each)
        return [len(found) if isinstance(found, str) else found for found in map(_shown, map(value, pieces))]

    assert sizes(800) == [798, 598, 698, [1], None]
    assert sizes(700) == [_size(800), 598, 698, [1], None]
    monkeypatch.setattr(contents, "TOGETHER_BYTES", 1_299)
    assert sizes(800) == [_size(800), 598, _size(700), [1], None]


def _size(size: int) -> dict[str, int]:
    return {"size": size}


def _shown(value: contents.Value) -> object:
    if value.json is None:
        return None
    found = msgspec.json.decode(bytes(value.json))
    assert value.whole == (not isinstance(found, dict))
    return {"size": found["size"]} if isinstance(found, dict) else found


def test_what_was_not_kept(store: Store) -> None:
    """A content of which only the hash was kept is a marker; a payload that is not there any more is nothing."""
    tape = Tape("hashed")
    tape.begin(input=Content(hash="ab" * 32, size=900, level="hashed"))
    store.append(batch(tape.events))
    number = store.find(Query("runs", columns=("input_payload",))).rows[0]["input_payload"]
    value = reader(store, [Piece(None, number), Piece(None, number + 99)], 1_000)
    assert _shown(value(Piece(None, number))) == {"size": 900}
    assert (value(Piece(None, number + 99)), value(Piece(None, None))) == (GONE, NOTHING)


def test_results_of_no_tool_calls(store: Store) -> None:
    """No rows have no results."""
    assert tool_results(store, []) == []
