from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.events.content import Content, digest
from tachograph.store.ports import Batch
from tachograph.store.sqlite import known
from tachograph.store.sqlite.connections import StoreConnection, connect
from tachograph.store.sqlite.known import CHUNK, TEXT_BYTES, Numbers, SqliteKnown
from tachograph.store.sqlite.squeeze import Squeezer
from tachograph.store.sqlite.store import SqliteStore
from tests.strategies import Tape


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[StoreConnection]:
    """A connection to an empty store's file."""
    store = SqliteStore(tmp_path / "known.db")
    store.position("j")
    store.close()
    opened = connect(tmp_path / "known.db")
    yield opened
    opened.close()


def begun(connection: StoreConnection, batch: Batch | None = None) -> SqliteKnown:
    """What a transaction starts with."""
    made = SqliteKnown(connection, Squeezer(connection, connection.expand))
    made.begin(batch or Batch())
    return made


def named(data: bytes) -> Content:
    """A content by its hash."""
    return Content(hash=digest(data).hex(), size=len(data))


def test_numbers_are_given_once(connection: StoreConnection) -> None:
    """Payloads, nodes and prices keep their numbers over transactions and for other writers."""
    first = begun(connection, Batch(payloads={digest(b"a"): b"a", digest(b"b"): b"b"}))
    numbers = [first.payload(named(data)) for data in (b"a", b"b", b"c")]
    nodes = [first.node(0, 1, "user"), first.node(1, 2, "user"), first.node(1, 2, "tool"), first.node(0, 1, "user")]
    prices = [first.price("p", "d"), first.price("p", "e"), first.price("p", "d")]
    first.save()
    assert (numbers, nodes, prices) == ([1, 2, 3], [1, 2, 3, 1], [1, 2, 1])
    for again in (first, begun(connection)):
        again.begin(Batch(payloads={digest(b"b"): b"b", digest(b"d"): b"d"}))
        assert [again.payload(named(data)) for data in (b"b", b"c", b"d")] == [2, 3, 4]
        assert [again.node(1, 2, "tool"), again.node(1, 2, "system")] == [3, 4]
        assert again.price("p", "e") == 2
        again.save()
        again.forget()
    assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (4,)
    assert connection.execute("SELECT count(*) FROM nodes").fetchone() == (4,)


def test_who_names_a_content_is_noted_once(connection: StoreConnection) -> None:
    """The first in the batch that brings it in its row, the others as shares; nobody of what was here before."""
    made = begun(connection, Batch(payloads={digest(b"a"): b"a", digest(b"b"): b"b"}))
    for run in (7, 5, 7, 5):
        made.use(named(b"a"), run)
    made.save()
    made.begin(Batch())
    for data, run in ((b"a", 5), (b"a", 7), (b"a", 9), (b"b", 5), (b"c", 6)):
        made.use(named(data), run)
    made.use(Content(hash="no hash"), 1)
    made.save()
    again = begun(connection)
    for run in (7, 9, 11):
        again.use(named(b"a"), run)
    again.save()
    assert connection.execute("SELECT id, run FROM payloads").fetchall() == [(1, 7), (2, None), (3, 6)]
    assert connection.execute("SELECT payload, run FROM shares").fetchall() == [(1, 5), (1, 9), (1, 11)]


def test_only_a_hash_is_a_payload_of_its_own(connection: StoreConnection) -> None:
    """Beside the bytes of that hash, and never filled. A row from before they were told apart becomes one."""
    made = begun(connection, Batch(payloads={digest(b"a"): b"a"}))
    bare = [Content(hash=digest(data).hex(), size=1, level="hashed") for data in (b"a", b"b", b"c")]
    made.use(named(b"a"), 1)
    for content in bare[:2]:
        made.use(content, 2)
    assert made.payload(Content(hash=digest(b"a").hex(), level="none")) is None
    made.save()
    connection.execute("INSERT INTO payloads (id, hash, size, encoding) VALUES (4, ?, 1, 0)", (digest(b"c"),))
    for again in (made, begun(connection)):
        again.begin(Batch())
        assert [again.payload(content) for content in bare] == [2, 3, 4]
        again.save()
        again.begin(Batch(payloads={digest(data): data for data in (b"a", b"b", b"c")}))
        assert [again.payload(named(data)) for data in (b"a", b"b", b"c")] == [1, 5, 6]
        assert [again.bytes_of(digest(data).hex()) for data in (b"a", b"b", b"c")] == [b"a", b"b", b"c"]
        again.save()
    rows = connection.execute("SELECT id, encoding, body, run FROM payloads").fetchall()
    assert rows == [(1, 0, "a", 1), (2, 2, None, 2), (3, 2, None, 2), (4, 2, None, None), (5, 0, "b", None),
                    (6, 0, "c", None)]  # fmt: skip


def test_what_comes_with_events_is_kept_for_them(connection: StoreConnection) -> None:
    """What none of them names has no row and no number, also not the next time."""
    tape = Tape()
    tape.begin()
    made = begun(connection, Batch(tape.events, {digest(data): data for data in (b"a", b"b", b"c")}))
    made.use(named(b"b"), 7)
    made.save()
    assert connection.execute("SELECT id, run FROM payloads").fetchall() == [(2, 7)]
    made.begin(Batch(tape.events, {digest(b"c"): b"c"}))
    made.use(named(b"c"), 8)
    made.save()
    assert connection.execute("SELECT id, run, body FROM payloads").fetchall() == [(2, 7, "b"), (3, 8, "c")]


def test_noting_anew_keeps_owners_that_are_right(connection: StoreConnection) -> None:
    """An owner that no longer names a content loses it; one that was not known is found; shares are made again."""
    contents = (b"a", b"b", b"c", b"d")
    made = begun(connection, Batch(payloads={digest(data): data for data in contents}))
    for data in contents[:3]:
        made.use(named(data), 2)
    made.save()
    connection.execute("INSERT INTO shares VALUES (4, 9)")
    made.begin(Batch())
    made.begin_again()
    for data, run in ((b"a", 1), (b"a", 2), (b"b", 3), (b"b", 1), (b"d", 4)):
        made.use(named(data), run)
    made.save()
    made.settle()
    assert connection.execute("SELECT id, run FROM payloads").fetchall() == [(1, 2), (2, 1), (3, None), (4, 4)]
    assert connection.execute("SELECT payload, run FROM shares").fetchall() == [(1, 1), (2, 3)]
    assert connection.execute("SELECT name FROM sqlite_temp_master").fetchall() == []


def test_numbers_begin_beyond_those_that_were_given(connection: StoreConnection) -> None:
    """What an erasure took away does not come back under its number."""
    made = SqliteKnown(connection, Squeezer(connection, connection.expand))
    made.begin(Batch(payloads={digest(b"a"): b"a"}), Numbers(9, 40, 50))
    assert made.payload(named(b"a")) == 41
    assert made.node(0, 41, "user") == 51


def test_hashes_that_begin_alike_are_told_apart(connection: StoreConnection) -> None:
    """The index holds eight bytes of a hash; identity is all of them."""
    one, two = b"\1" * 8 + b"a" * 24, b"\1" * 8 + b"b" * 24
    batch = Batch(payloads={one: b"1", two: b"2"})
    for _ in range(2):
        made = begun(connection, batch)
        assert [made.payload(Content(hash=name.hex(), size=1)) for name in (one, two)] == [1, 2]
        assert [made.bytes_of(name.hex()) for name in (one, two)] == [b"1", b"2"]
        made.save()
        batch = Batch()
    assert begun(connection).bytes_of(one.hex()) == b"1"
    assert begun(connection).bytes_of((b"\1" * 8 + b"c" * 24).hex()) is None
    assert begun(connection).bytes_of("no hash") is None


def test_what_is_small_stays_readable(connection: StoreConnection) -> None:
    """Text up to a bound is kept as text; longer text, NUL and bytes that are no text are packed; all come back."""
    contents = ["é".encode(), b"x" * TEXT_BYTES, b"x" * (TEXT_BYTES + 1), b"a\0b", b"\xff\xfe"]
    made = begun(connection, Batch(payloads={digest(data): data for data in contents}))
    made.save()
    rows = connection.execute("SELECT encoding, body FROM payloads ORDER BY id").fetchall()
    assert [encoding for encoding, _ in rows] == [0, 0, 1, 1, 1]
    assert rows[0][1] == "é"
    assert [connection.payload(*row) for row in rows] == contents


def test_many_at_once(connection: StoreConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """More payloads than one statement takes, and more than are remembered."""
    monkeypatch.setattr(known, "_REMEMBERED", 10)
    payloads = {digest(str(number).encode()): str(number).encode() for number in range(CHUNK * 2 + 1)}
    made = begun(connection, Batch(payloads=payloads))
    made.save()
    made.begin(Batch(payloads=payloads))
    made.save()
    assert connection.execute("SELECT count(*), max(id) FROM payloads").fetchone() == (len(payloads),) * 2


def test_a_hash_in_capitals_is_the_same(connection: StoreConnection) -> None:
    """Spelling does not make a second payload; what is no hash makes none."""
    made = begun(connection, Batch(payloads={digest(b"a"): b"a"}))
    assert made.payload(Content(hash=digest(b"a").hex().upper(), size=1)) == 1
    assert made.payload(Content(hash="xyz", size=1)) is None
    assert made.payload(Content()) is None


def test_rows_come_back_as_they_are(connection: StoreConnection) -> None:
    """True and false are told from 1 and 0; what is not there is None."""
    connection.execute(
        "INSERT INTO calls (run, step, provider, model, started_at, streaming) VALUES (1, 2, 'p', 'm', 3, 1)"
    )
    call = begun(connection).call((1, 2))
    assert call is not None
    assert (call.streaming, call.provider, call.attempt) == (True, "p", 1)
    made = begun(connection)
    assert (made.call((1, 3)), made.step((1, 2)), made.tool((1, 2)), made.session(("t", "s"))) == (None,) * 4
