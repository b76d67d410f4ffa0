from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.queries.runs import runs
from tachograph.queries.search import Hit, Snippet, search, snippet
from tachograph.store.ports import Store
from tachograph.store.query import Page
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000


def _say(store: Store, name: str, after: int, *messages: str) -> Tape:
    tape = Tape(name, at=BEGAN + after * SECOND)
    tape.begin(name)
    for message in messages:
        tape.say("user", {"role": "user", "content": message})
    store.append(batch(tape.events))
    return tape


def test_hits_of_the_newest_runs_first(store: Store) -> None:
    """Every message that contains the text is found, in any case, with its run, place, time and the words around it."""
    old = _say(store, "old", 0, "Refund the Ticket", "nothing")
    new = _say(store, "new", 1, "hello", "a refund, please")
    rows = {run.id: run for run in runs(store).runs}
    assert search(store, "reFUND") == (
        Hit(rows[new.run], 2, new.events[2].at, "user", Snippet("a refund, please", 2, 8)),
        Hit(rows[old.run], 1, old.events[1].at, "user", Snippet("Refund the Ticket", 0, 6)),
    )
    assert [hit.run.name for hit in search(store, "refund", limit=1)] == ["new"]
    assert search(store, "cannot be found") == ()


def test_text_with_quotes_and_line_breaks(store: Store) -> None:
    """What JSON spells differently is found as people write it."""
    _say(store, "quoted", 0, 'she said "no"\nand left für immer')
    assert [hit.snippet.text for hit in search(store, 'said "NO"')] == ['she said "no" and left für immer']
    assert [hit.snippet.start for hit in search(store, "für")] == [23]


def test_a_message_of_several_runs(store: Store) -> None:
    """A message that runs share is found in each of them."""
    _say(store, "one", 0, "the same words")
    _say(store, "two", 1, "the same words")
    assert [hit.run.name for hit in search(store, "same")] == ["two", "one"]


@pytest.mark.parametrize("lost", ["find", "fetch", "read"])
def test_a_run_that_was_erased_meanwhile(store: Store, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit whose run goes while it is being looked up is no hit, and no error."""
    _say(store, "gone", 0, "the same words")
    nothing: dict[str, Any] = {"find": Page(()), "fetch": {}, "read": iter(())}
    monkeypatch.setattr(store, lost, lambda *asked: nothing[lost])
    assert search(store, "same") == ()


def test_an_empty_text(store: Store) -> None:
    """Searching for nothing is refused."""
    with pytest.raises(ValueError, match="empty text"):
        search(store, "")


def test_snippets_are_cut_around_the_match() -> None:
    """A snippet holds so many characters on each side, marked where more was cut off."""
    message = msgspec.json.encode({"content": [{"text": "a" * 100 + " Needle " + "b" * 100}]})
    assert snippet(message, "needle", around=3) == Snippet("…aa Needle bb…", 4, 10)
    assert snippet(message, "Needle", around=1_000).text == "a" * 100 + " Needle " + "b" * 100


def test_what_people_read_comes_first() -> None:
    """A match in a value is preferred to one in a field name; other JSON and other bytes are searched as they are."""
    assert snippet(b'{"content":"about content"}', "content") == Snippet("about content", 6, 13)
    assert snippet(b'{"content":"about"}', "content").text == '{"content":"about"}'
    assert snippet(b"not json", "JSON") == Snippet("not json", 4, 8)


@given(st.text(min_size=1), st.text(), st.text(), st.integers(0, 5))
def test_a_snippet_points_at_the_match(text: str, before: str, behind: str, around: int) -> None:
    """The marked part of a snippet is the text searched for, whenever the message contains it as it stands."""
    said = " ".join(f"{before}{text}{behind}".split())
    if text.lower() not in said.lower() or len(said.lower()) != len(said) or len(text.lower()) != len(text):
        return
    found = snippet(msgspec.json.encode({"content": said}), text, around)
    assert found.text[found.start : found.stop].lower() == text.lower()
