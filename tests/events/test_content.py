from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.content import Content, canonical, canonical_hash, digest, inline
from tests.strategies import json_values


@given(json_values)
def test_canonical_text_is_the_same_value(value: Any) -> None:
    """The canonical spelling says what the text said."""
    assert json.loads(canonical(json.dumps(value))) == value


@given(json_values)
def test_canonical_text_is_its_own_canonical_text(value: Any) -> None:
    """Nothing is left to make canonical in a canonical text."""
    once = canonical(json.dumps(value))
    assert canonical(once) == once


@given(json_values, st.sampled_from((None, 1, "\t")), st.booleans())
def test_spelling_does_not_matter(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    """White space, escapes and the order of keys change neither the canonical text nor its hash."""
    spelled = json.dumps(_reversed(value), indent=indent, ensure_ascii=ascii_only)
    assert canonical(spelled) == canonical(json.dumps(value))
    assert canonical_hash(spelled) == canonical_hash(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ('{"b": 1, "a": {"d": [1.0, -0.0], "c": null}}', b'{"a":{"c":null,"d":[1,0]},"b":1}'),
        ('{"a": 1, "a": 2}', b'{"a":2}'),
        ('"\\u00e9\\n"', '"é\\n"'.encode()),
        ("[1.5, 1e2, 123456789012345678901234567890]", b"[1.5,100,123456789012345678901234567890]"),
        ("9007199254740993", b"9007199254740993"),
    ],
)
def test_canonical_form(text: str, spelled: bytes) -> None:
    """Keys are sorted at every depth, space is gone, integral floats are integers, big integers stay exact."""
    assert canonical(text) == spelled


@given(st.text() | st.binary())
def test_any_text_has_a_canonical_hash(text: str | bytes) -> None:
    """Text that is not JSON, not even Unicode, hashes as it is."""
    assert len(canonical_hash(text)) == 32


def test_text_that_is_not_json_hashes_as_it_is() -> None:
    """The canonical hash of other text is the digest of its bytes."""
    assert canonical_hash("{'a': 1}") == digest(b"{'a': 1}")
    assert canonical_hash("\ud800") == digest("\ud800".encode("utf-8", "surrogatepass"))
    assert canonical_hash(b"[" * 5000) == digest(b"[" * 5000)


def test_inline_content_knows_its_size_in_bytes() -> None:
    """Size counts the bytes of the text, not its characters, and the value reads back."""
    content = inline('{"city": "Zürich"}', marks=("nan",))
    assert content == Content(text='{"city": "Zürich"}', size=19, marks=("nan",))
    assert content.value() == {"city": "Zürich"}


@pytest.mark.parametrize("content", [Content(hash="00", size=7), Content(level="none")])
def test_content_kept_elsewhere_has_no_value_here(content: Content) -> None:
    """Asking content for a value it does not carry is a LookupError."""
    with pytest.raises(LookupError, match="not inline"):
        content.value()


def _reversed(value: Any) -> Any:
    """The same value with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: _reversed(item) for key, item in reversed(value.items())}
    return [_reversed(item) for item in value] if isinstance(value, list) else value
