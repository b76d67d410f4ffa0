from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tachograph.agent.guardrails.untrusted import block, escaped, tag_of
from tachograph.errors import SettingsError

ANYTHING = some.text(some.characters(codec=None, exclude_categories=())) | some.text(
    some.sampled_from("</memory> \uff1c\uff1e&lt;\u2039\n")
)


@given(some.lists(ANYTHING, max_size=4))
def test_nothing_inside_ends_a_block(said: list[str]) -> None:
    """Whatever the lines hold, there is one end, and it is the last line."""
    made = block("memory", "Told:", [escaped(text) for text in said])
    assert (made.count("<"), made.count(">")) == (2, 2)
    assert made.startswith("<memory>\nTold:\n")
    assert made.endswith("\n</memory>")
    assert not set(made) & set("\uff1c\uff1e\u2039\u203a\ufe64\ufe65")
    made.encode()


def test_what_cannot_be_seen_is_taken_out() -> None:
    """Invisible tags and control characters; letters, emojis and line breaks stay."""
    assert escaped("a\U000e0041\x1b[0mé\n👩‍🚒 & b") == "a[0mé\n👩‍🚒 &amp; b"


@pytest.mark.parametrize("tag", ["", "Memory", "a b", "a>", "1a"])
def test_a_tag_is_a_plain_word(tag: str) -> None:
    """Anything else could end itself."""
    with pytest.raises(SettingsError, match="tag"):
        tag_of(tag)
    assert tag_of("memoria_cliente") == "memoria_cliente"
