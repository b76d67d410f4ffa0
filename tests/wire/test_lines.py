from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tachograph.events.content import Content
from tachograph.wire import lines

WHOLE = msgspec.json.Decoder(Raw)


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b'{"a": NaN, "b": Infinity}', b'{"a":null,"b":null}'),
        (b'{"a": "\\ud83d"}', '{"a":"\ufffd"}'.encode()),
        (b'{"a": "\\ud83d\\ude00"}', b'{"a": "\\ud83d\\ude00"}'),
        (b'{"a": "\xff"}', '{"a":"\ufffd"}'.encode()),
        (b'{"a": "tab\there"}', b'{"a":"tab\\there"}'),
    ],
)  # fmt: skip
def test_lines_that_other_encoders_write_are_mended(line: bytes, mended: bytes) -> None:
    """NaN becomes null, half a surrogate pair and broken UTF-8 a mark; a line without faults stays as it is."""
    assert bytes(lines.parse(WHOLE, line)) == mended


@pytest.mark.parametrize("line", [b"", b"{", b'{"a": 1', b"nul", b"[" * 5000, b'{"a": 1} x', b"\xff"])
def test_lines_that_are_no_json_are_unreadable(line: bytes) -> None:
    """Cut, empty, too deep or something else: one error for all of them."""
    with pytest.raises(lines.Unreadable, match="not readable"):
        lines.parse(WHOLE, line)


def test_a_line_of_another_shape_is_unreadable() -> None:
    """Valid JSON that is not what the decoder wants is reported, not mended."""
    with pytest.raises(lines.Unreadable, match="Expected `int`"):
        lines.parse(msgspec.json.Decoder(int), b'"x"')


@given(st.text())
def test_whatever_python_writes_can_be_read(text: str) -> None:
    """Any text that json.dumps puts on a line, lone surrogates included, is read and is valid UTF-8 afterwards."""
    kept = lines.parse(WHOLE, json.dumps({"a": text}).encode())
    assert lines.value(kept) == {"a": "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)}


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b'{"a": 1}\n{"a": 2}\n', [(1, b'{"a": 1}'), (2, b'{"a": 2}')]),
        (b'{"a": 1}\n\n{"broken\n', [(1, b'{"a": 1}'), (3, b'{"broken')]),
        (b'{\n "a": 1\n}\n', [(1, b'{\n "a": 1\n}\n')]),
        (b'[{"a": 1}]', [(1, b'[{"a": 1}]')]),
        (b'{"a": NaN}\n{"a": 2}', [(1, b'{"a": NaN}'), (2, b'{"a": 2}')]),
        (b" \n", []),
        (b"", []),
    ],
)  # fmt: skip
def test_a_file_is_one_document_or_its_lines(data: bytes, records: list[tuple[int, bytes]]) -> None:
    """A file whose first line stands by itself is read by lines, with their numbers; any other is one document."""
    assert list(lines.split(data)) == records


def test_pieces_are_taken_verbatim() -> None:
    """Members and elements keep the spelling they had; null is no content; what is missing is empty."""
    raw = b'{"a": {"x":  1.50}, "b": [1, "\\u00e9"], "c": null, "d": "t"}'
    found = lines.members(raw)
    assert lines.verbatim(found["a"]) == Content(text='{"x":  1.50}', size=12)
    assert [bytes(item) for item in lines.elements(found["b"]) or ()] == [b"1", b'"\\u00e9"']
    assert (lines.present(found["c"]), lines.elements(found["a"]), lines.members(found["b"])) == (None, None, {})
    assert (lines.text(found["d"]), lines.text(found["a"]), lines.value(found["b"])) == ("t", None, [1, "é"])
    assert lines.value(b"1e999") is None
    assert lines.compose({"k": found["a"], "n": b"1"}) == b'{"k":{"x":  1.50},"n":1}'


@pytest.mark.parametrize(
    ("said", "text"),
    [('{"a": 1}', '{"a": 1}'), ("not json", '"not json"'), ("", '""'), ("[" * 5000, f'"{"[" * 5000}"'), ("7", "7")],
)
def test_json_inside_a_string_is_json_again(said: str, text: str) -> None:
    """Arguments that are JSON in a string are kept as that JSON, other strings as strings."""
    assert lines.embedded(said) == Content(text=text, size=len(text))
