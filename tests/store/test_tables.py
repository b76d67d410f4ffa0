from __future__ import annotations

from tachograph.events.content import Content, digest
from tachograph.store.named import Uses
from tachograph.store.rows import ShareRow
from tachograph.store.tables import Tables
from tests.strategies import Tape


def content(data: bytes) -> Content:
    """A content by its hash."""
    return Content(hash=digest(data).hex(), size=len(data))


def begun(*contents: bytes) -> Tables:
    """Tables that a batch has brought some contents to."""
    tables = Tables()
    tables.begin({digest(data): data for data in contents}, {})
    return tables


def owners(tables: Tables) -> dict[int, list[int]]:
    """Payload → the runs that name it, the one in its row first."""
    return {row.id: list(tables.owners(row)) for row in tables.rows["payloads"].values()}


def test_the_first_that_names_a_content_owns_it() -> None:
    """In the batch that brings it; others share it, each once. Nobody is said to own what was there before."""
    tables = begun(b"a", b"b")
    for run in (7, 5, 7, 5):
        tables.use(content(b"a"), run)
    tables.begin({}, {})
    tables.use(content(b"b"), 5)
    tables.use(content(b"c"), 6)
    assert owners(tables) == {1: [7, 5], 2: [], 3: [6]}
    assert list(tables.rows["shares"].values()) == [ShareRow(payload=1, run=5)]
    assert tables.payload(Content(hash="no hash")) is None
    tables.use(Content(hash="no hash"), 1)
    assert len(tables.rows["payloads"]) == 3


def test_only_a_hash_is_a_payload_of_its_own() -> None:
    """Beside the bytes of that hash; what was not kept is none."""
    tables = begun(b"a")
    bare = Content(hash=digest(b"a").hex(), size=1, level="hashed")
    assert (tables.payload(content(b"a")), tables.payload(bare)) == (1, 2)
    assert tables.payload(Content(hash=digest(b"a").hex(), level="none")) is None
    tables.use(bare, 5)
    assert (owners(tables), tables.rows["payloads"][2].body) == ({1: [], 2: [5]}, None)
    assert [row.id for row in tables.release({5: Uses(frozenset({2}))})] == [2]
    assert tables.payload(content(b"a")) == 1


def test_what_nobody_named_ends_with_its_batch() -> None:
    """Its number may be given again if none beyond it was; what was here before stays."""
    tables = begun(b"a")
    tables.begin({digest(data): data for data in (b"b", b"c", b"d")}, {})
    tables.use(content(b"c"), 5)
    tables.end()
    assert owners(tables) == {1: [], 3: [5]}
    assert tables.payload(content(b"d")) == 4


def test_a_content_passes_on_until_nobody_names_it() -> None:
    """To the next run in number; numbers are not given again."""
    tables = begun(b"a")
    for run in (1, 3, 2):
        tables.use(content(b"a"), run)
    a = Uses(frozenset({1}), frozenset())
    assert tables.release({1: a}) == []
    assert owners(tables) == {1: [2, 3]}
    assert tables.release({3: a}) == []
    assert [row.body for row in tables.release({2: a})] == [b"a"]
    assert (owners(tables), tables.bytes_of(digest(b"a").hex())) == ({}, None)
    tables.begin({digest(b"a"): b"a"}, {})
    assert owners(tables) == {2: []}


def test_noting_anew_keeps_owners_that_are_right() -> None:
    """An owner that no longer names a content loses it; one that was not known is found; shares are made again."""
    tables = begun(b"a", b"b", b"c", b"d")
    for data, run in ((b"a", 2), (b"b", 2), (b"c", 2)):
        tables.use(content(data), run)
    tables.put("shares", ShareRow(payload=4, run=9))
    tables.begin_again()
    for data, run in ((b"a", 1), (b"a", 2), (b"b", 3), (b"b", 1), (b"d", 4)):
        tables.use(content(data), run)
    tables.settle()
    assert owners(tables) == {1: [2, 1], 2: [1, 3], 3: [], 4: [4]}


def test_what_a_log_names() -> None:
    """Payloads and nodes by number; a message whose parent is lost stands at the root."""
    tables, tape = begun(b'"a"', b'"b"'), Tape()
    tape.begin()
    first = tape.say("user", '"a"', by_hash=True)
    tape.say("user", '"b"', first, by_hash=True)
    tape.say("user", '"b"', 99, by_hash=True)
    nodes = [tables.node(0, 1, "user"), tables.node(1, 2, "user"), tables.node(0, 2, "user"), tables.node(3, 1, "user")]
    tables.logs[tape.run] = tape.events
    assert nodes == [1, 2, 3, 4]
    assert tables.uses(tape.run) == Uses(frozenset({1, 2}), frozenset({1, 2, 3}))
    assert tables.uses("nobody") == Uses()
    assert Uses(frozenset({1, 2}), frozenset({3})).less(Uses(frozenset({2}), frozenset())) == Uses(
        frozenset({1}), frozenset({3})
    )
