from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.record.rules.literals import Literals


def shout(text: str, counts: dict[str, int], kind: str | None) -> str:
    """A search that finds the letter x, and anything under a password."""
    if kind == "password":
        counts["kind"] = counts.get("kind", 0) + 1
        return "GONE"
    return text.replace("x", "X") if "x" in text else text


def scrubbed(text: str, *, cards: bool = False) -> tuple[str | None, dict[str, int]]:
    """What becomes of a text, and what was counted."""
    counts: dict[str, int] = {}
    return Literals(shout, counts, cards=cards).scrubbed(text), counts


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('{"x" : [1e5, "axb", null, -0.0, {"c":"d"}]}', '{"X" : [1e5, "aXb", null, -0.0, {"c":"d"}]}'),
        ('"\\u0078\\n\\u00e9\\/"', '"X\\né/"'),
        ('["\\u00e9\\/", "untouched \\u0041"]', '["\\u00e9\\/", "untouched \\u0041"]'),
        ('{"password": "abc", "user": "password"}', '{"password": "GONE", "user": "password"}'),
        ('{"password":\n\t"abc"}', '{"password":\n\t"GONE"}'),
        ('{"password": ["abc"], "password": {"a": "b"}}', '{"password": ["abc"], "password": {"a": "b"}}'),
        ('{"password": 123456, "n": 123456}', '{"password":"[redacted:password]", "n": 123456}'),
        ('{"password": null}', '{"password": null}'),
        ("[]", "[]"),
        ("12", "12"),
        ('"\\ud800x"', '"\ufffdX"'),
    ],
)
def test_only_what_is_found_is_written_anew(text: str, clean: str) -> None:
    """Strings in which something is found are encoded again; everything between and beside them stays byte for byte."""
    assert scrubbed(text)[0] == clean


def test_card_numbers_that_are_numbers_become_strings() -> None:
    """A bare number that is a card goes when cards are to go; other numbers stay numbers."""
    text = '{"a": 4111111111111111, "b": [4111111111111112, 4111111111111111.5, 1763712000000000000]}'
    assert scrubbed(text)[0] == text
    assert scrubbed(text, cards=True) == (text.replace("4111111111111111,", '"[redacted:card]",'), {"card": 1})


def test_keys_that_become_equal_are_told_apart() -> None:
    """Different keys that turn into the same text get numbers; the same key keeps the same name everywhere."""
    assert scrubbed('[{"ax": 1, "aX": 0}, {"ax": 2}, {"a\\u0078": 3, "bx": 4}]')[0] == (
        '[{"aX": 1, "aX": 0}, {"aX": 2}, {"aX": 3, "bX": 4}]'
    )
    counts: dict[str, int] = {}
    same = Literals(lambda text, _, kind: "same" if text[0] == "k" else text, counts, cards=False)
    assert same.scrubbed('{"k1": 1, "k2": 2, "a": {"k1": 3, "k3": 4}}') == (
        '{"same": 1, "same#2": 2, "a": {"same": 3, "same#3": 4}}'
    )


@pytest.mark.parametrize("text", ["not json", '{"a": "b', '{"a": b}', '"a" "b" c', "\x00", "{'a': 1}", '"a"\\'])
def test_text_that_is_not_json_is_not_touched(text: str) -> None:
    """Text with anything outside its strings that JSON does not have is given back to whoever asked."""
    assert scrubbed(text)[0] is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_valid_json_stays_valid(value: object, ascii_only: bool, indent: int | None) -> None:
    """Whatever a search makes of the strings, the text is JSON with the same shape; without findings, the same text."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    clean, _ = scrubbed(text, cards=True)
    assert clean is not None
    json.loads(clean)
    untouched = Literals(lambda string, counts, kind: string, {}, cards=False).scrubbed(text)
    assert untouched == text
