from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.web.run.value import Value, tree


def _read(text: str) -> Value:
    found = tree(text)
    assert found is not None
    return found


def test_values_are_spelled_as_they_were_recorded() -> None:
    """Numbers keep their digits, names that stand twice both stay, and words are words."""
    found = _read('{"a": 1.10, "a": 12345678901234567890, "b": [true, null, "x\\ny"], "c": {}}')
    assert (found.kind, found.count, [each.name for each in found.items]) == ("object", 4, ["a", "a", "b", "c"])
    assert [each.text for each in found.items[:2]] == ["1.10", "12345678901234567890"]
    assert [(each.name, each.kind, each.text) for each in found.items[2].items] == [
        ("0", "literal", "true"), ("1", "literal", "null"), ("2", "string", "x\ny"),
    ]  # fmt: skip
    assert (found.items[3].kind, found.items[3].count) == ("object", 0)


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[" * 100_000])
def test_what_is_no_json_is_no_tree(text: str) -> None:
    """A text that cannot be read, or is nested beyond reading, has no tree."""
    assert tree(text) is None


def test_a_large_tree_is_cut_and_says_so() -> None:
    """Of many values the first are there, with the number of the others."""
    found = _read(msgspec.json.encode(list(range(5_000))).decode())
    assert len(found.items) < found.count == 5_000
    assert found.text == f"{5_000 - len(found.items):,} more, which are in the file"


def test_a_deep_tree_is_cut_and_says_so() -> None:
    """Below some levels a branch is not told any more."""
    found = _read("[" * 40 + "]" * 40)
    levels = 0
    while found.items:
        (found,) = found.items
        levels += 1
    assert 10 < levels < 40
    assert found.text == "deeper than is shown here"


def test_only_a_small_tree_stands_open() -> None:
    """Branches are open as long as few values are in view; without any room only the outermost."""
    small = '{"a": {"b": {"c": 1}}}'
    assert _read(small).items[0].items[0].is_open
    closed = tree(small, 0)
    assert closed is not None
    assert (closed.is_open, closed.items[0].is_open) == (True, False)


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some),
        max_leaves=30,
    )
)
def test_every_value_has_a_tree(value: object) -> None:
    """Whatever is JSON can be shown."""
    assert tree(msgspec.json.encode(value).decode()) is not None
