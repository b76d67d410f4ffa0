from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

import pytest
import zstandard

from tachograph.store.sqlite.squeeze import GROWTH, PAGE, PAYLOAD, Expander, Squeezer


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """The tables that are learned from and kept in."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE dictionaries (id INTEGER PRIMARY KEY, kind TEXT, rows INTEGER, body BLOB)")
    connection.execute("CREATE TABLE payloads (id INTEGER PRIMARY KEY, encoding INTEGER, body BLOB)")
    connection.execute("CREATE TABLE events (page INTEGER PRIMARY KEY, body BLOB)")
    yield connection
    connection.close()


def expander(database: sqlite3.Connection) -> Expander:
    """Reads blocks with the dictionaries that are stored."""

    def dictionary(number: int) -> bytes | None:
        found = database.execute("SELECT body FROM dictionaries WHERE id = ?", (number,)).fetchone()
        return found[0] if found else None

    return Expander(dictionary)


def alike(count: int, seed: int = 1) -> list[bytes]:
    """Contents that resemble each other as messages do."""
    words = ["order", "refund", "parcel", "customer", "address", "delivery", "yesterday", "invoice"]
    chance = random.Random(seed)
    return [
        f'{{"role":"user","content":"{" ".join(chance.choice(words) for _ in range(30))} {number}"}}'.encode()
        for number in range(count)
    ]


def test_what_is_alike_takes_less_after_a_lesson(database: sqlite3.Connection) -> None:
    """A dictionary is made once there are enough, is named by the blocks that need it, and pays."""
    expand = expander(database).expand
    squeezer = Squeezer(database, expand)
    contents = alike(300)
    before = squeezer.pack(PAYLOAD, contents[0])
    squeezer.learn(PAYLOAD, PAYLOAD.rows - 1, contents)
    assert database.execute("SELECT count(*) FROM dictionaries").fetchone() == (0,)
    squeezer.learn(PAYLOAD, 300, contents)
    after = squeezer.pack(PAYLOAD, contents[0])
    assert len(after) < len(before) * 0.8
    assert zstandard.get_frame_parameters(after).dict_id == 1
    assert expand(before) == expand(after) == contents[0]
    assert database.execute("SELECT id, kind, rows FROM dictionaries").fetchall() == [(1, "payload", 300)]
    again = Squeezer(database, expand)
    assert len(again.pack(PAYLOAD, contents[0])) == len(after)
    assert len(again.pack(PAGE, contents[0])) == len(before)


def test_the_next_lesson_waits_until_there_is_more(database: sqlite3.Connection) -> None:
    """A kind is learned anew when it has grown eightfold, from what is stored as well."""
    expand = expander(database).expand
    squeezer = Squeezer(database, expand)
    squeezer.learn(PAYLOAD, 200, alike(200))
    for content in alike(400, seed=2):
        database.execute("INSERT INTO payloads (encoding, body) VALUES (1, ?)", (squeezer.pack(PAYLOAD, content),))
    squeezer.learn(PAYLOAD, 200 * GROWTH - 1, ())
    assert database.execute("SELECT count(*) FROM dictionaries").fetchone() == (1,)
    squeezer.learn(PAYLOAD, 200 * GROWTH, ())
    assert database.execute("SELECT id, rows FROM dictionaries").fetchall() == [(1, 200), (2, 200 * GROWTH)]
    old = database.execute("SELECT body FROM payloads WHERE id = 1").fetchone()[0]
    assert expand(old) == alike(1, seed=2)[0]


def test_a_lesson_that_brings_nothing_is_remembered(database: sqlite3.Connection) -> None:
    """Noise, or too little of anything, gives no dictionary; it is not tried again before there is more."""
    squeezer = Squeezer(database, expander(database).expand)
    noise = random.Random(3)
    squeezer.learn(PAYLOAD, 200, [noise.randbytes(200) for _ in range(200)])
    squeezer.learn(PAGE, 50, [b"x"])
    squeezer.learn(PAYLOAD, 201, alike(200))
    assert database.execute("SELECT kind, rows, body FROM dictionaries").fetchall() == [
        ("payload", 200, None), ("page", 50, None),
    ]  # fmt: skip
    assert zstandard.get_frame_parameters(squeezer.pack(PAYLOAD, b"x" * 100)).dict_id == 0


def test_a_dictionary_that_is_gone_is_named(database: sqlite3.Connection) -> None:
    """A block that needs one raises, it does not read as something else."""
    squeezer = Squeezer(database, expander(database).expand)
    squeezer.learn(PAYLOAD, 300, alike(300))
    block = squeezer.pack(PAYLOAD, alike(1)[0])
    reader = expander(database)
    assert reader.expand(block) == alike(1)[0]
    database.execute("DELETE FROM dictionaries")
    reader.forget()
    with pytest.raises(zstandard.ZstdError, match="no dictionary has the number 1"):
        reader.expand(block)


def test_after_a_failure_nothing_is_taken_for_granted(database: sqlite3.Connection) -> None:
    """A dictionary whose transaction was rolled back is no longer used."""
    squeezer = Squeezer(database, expander(database).expand)
    database.execute("BEGIN")
    squeezer.learn(PAYLOAD, 300, alike(300))
    database.execute("ROLLBACK")
    squeezer.forget()
    assert zstandard.get_frame_parameters(squeezer.pack(PAYLOAD, alike(1)[0])).dict_id == 0
