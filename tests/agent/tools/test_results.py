from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.tools.arguments import Prepared, prepare
from tachograph.agent.tools.results import MOST_PIECE, Shelf
from tachograph.errors import ToolError
from tachograph.events.chat import Media, Text, ToolUse

NOTE = '\n[The result has 1000 characters, the first {} are shown. To read on, call expand with handle="{}", start={}.]'


def test_a_long_result_ends_with_its_handle() -> None:
    """What fits is returned as it is; else the beginning, the size, the handle and where to go on."""
    shelf = Shelf()
    text = "0123456789" * 100
    assert shelf.put(text, 1000) is text
    said = shelf.put(text, 300)
    shown = int(said.split("the first ")[1].split()[0])
    assert said == text[:shown] + NOTE.format(shown, "result_1", shown)
    assert 295 <= len(said) <= 300
    assert shelf.put(text, 5) == NOTE.format(0, "result_2", 0)
    assert shelf.get("result_1") == text


def test_what_was_cut_is_cut_again_under_the_same_handle() -> None:
    """Its size is that of the whole, and so is what can be read."""
    shelf = Shelf()
    text = "0123456789" * 100
    said = shelf.put(shelf.put(text, 600), 300)
    shown = int(said.split("the first ")[1].split()[0])
    assert said == text[:shown] + NOTE.format(shown, "result_1", shown)
    assert 295 <= len(said) <= 300
    with pytest.raises(ToolError, match="no result"):
        shelf.get("result_2")


def test_the_model_reads_on_piece_by_piece() -> None:
    """`expand` gives the rest, says where the next piece begins, and how far it can go."""
    shelf = Shelf()
    shelf.put("0123456789" * 3000, 300)
    assert shelf.expand("result_1", 5, 10) == (
        "5678901234\n[result_1: characters 5 to 15 of 30000; go on with start=15]"
    )
    assert shelf.expand("result_1", 29995) == "56789\n[result_1: characters 29995 to 30000 of 30000; this is its end]"
    assert f"characters 0 to {MOST_PIECE} of" in shelf.expand("result_1", 0, 10**9)
    for start, length, said in ((30000, 1, "behind its end"), (-1, 1, "at least 0"), (0, 0, "at least 1")):
        with pytest.raises(ToolError, match=said):
            shelf.expand("result_1", start, length)


def test_unknown_handles_are_named() -> None:
    """A handle that never was, and one that had to go, are different answers; both say what there is."""
    shelf = Shelf(most_kept=250)
    with pytest.raises(ToolError, match=r"There is no result 'result_1'. Nothing is kept"):
        shelf.get("result_1")
    for letter in "abc":
        shelf.put(letter * 100, 1)
    with pytest.raises(ToolError, match=r"result_1 is no longer kept.*Kept are: result_2, result_3"):
        shelf.get("result_1")
    for odd in ("result_4", "result_0", "result_01", "result_²", "x" * 1000, "result_" + "9" * 5000):
        with pytest.raises(ToolError, match="There is no result"):
            shelf.get(odd)


def test_a_result_larger_than_the_shelf_is_kept_in_part() -> None:
    """Its beginning is kept, and the note says how much that is."""
    shelf = Shelf(most_kept=250)
    assert "The result has 1000 characters, the first 0 are shown. Only its first 250 are kept." in shelf.put(
        "a" * 1000, 1
    )
    assert shelf.get("result_1") == "a" * 250


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), max_size=20))
def test_the_shelf_is_bounded_and_shows_no_more_than_asked(puts: list[tuple[int, int]]) -> None:
    """Whatever is put there, memory stays below the bound, and a shown text below its own (or the note's size)."""
    shelf = Shelf(most_kept=500)
    for size, most in puts:
        said = shelf.put("a" * size, most)
        assert len(said) <= max(most, 200)
        assert sum(map(len, shelf._kept.values())) == shelf._size <= 500


def test_media_are_left_as_they_are() -> None:
    """Texts among media share the bound; images pass."""
    image = Media("image", "image/png", data=b"x")
    shelf = Shelf()
    found = shelf.fit((Text("a" * 300), image, Text("b" * 900)), 500)
    assert found[:2] == (Text("a" * 300), image)
    assert 'handle="result_1"' in found[2].text
    assert shelf.fit("short", 500) == "short"


def test_the_tool_takes_what_a_model_writes() -> None:
    """`expand` is a tool like any other: read only, its results fit without being cut again."""
    shelf = Shelf()
    shelf.put("0123456789" * 5000, 100)
    tool = shelf.tool()
    call = ToolUse("1", "expand", '{"handle": "result_1", "start": 3, "length": 50000}')
    prepared = prepare({"expand": tool}, call)
    assert isinstance(prepared, Prepared)
    said = asyncio.run(tool.function(**prepared.arguments))
    assert said.startswith("3456789")
    assert len(said) <= tool.most_chars
    assert (tool.classification, tool.idempotent) == ("read", True)
    assert tool.parameters["properties"]["handle"]["description"].startswith("The handle that the cut result names")
