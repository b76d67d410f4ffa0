from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence

import pytest
import zstandard

from tachograph.store.sqlite.squeeze import GROWTH, PAGE, PAYLOAD, Expander, Sample, Squeezer, dictionary_of


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """The tables that are learned from and kept in."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE dictionaries (id INTEGER PRIMARY KEY, kind, rows, body BLOB, learned_from)")
    connection.execute("CREATE TABLE payloads (id INTEGER PRIMARY KEY, encoding INTEGER, body BLOB)")
    connection.execute("CREATE TABLE events (page INTEGER PRIMARY KEY, body BLOB)")
    connection.execute("CREATE TABLE runs (pk INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE erased (id INTEGER PRIMARY KEY)")
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


def samples(contents: Sequence[bytes], first: int = 1) -> list[Sample]:
    """Contents with the numbers they have in the store."""
    return [Sample(number, content) for number, content in enumerate(contents, first)]


def kept(database: sqlite3.Connection, squeezer: Squeezer, contents: Sequence[bytes]) -> None:
    """Put contents into the store, as the squeezer packs them."""
    for content in contents:
        database.execute("INSERT INTO payloads (encoding, body) VALUES (1, ?)", (squeezer.pack(PAYLOAD, content),))


def test_what_is_alike_takes_less_after_a_lesson(database: sqlite3.Connection) -> None:
    """A dictionary is made once there are enough, is named by the blocks that need it, and pays."""
    expand = expander(database).expand
    squeezer = Squeezer(database, expand)
    contents = alike(300)
    before = squeezer.pack(PAYLOAD, contents[0])
    squeezer.learn(PAYLOAD, PAYLOAD.rows - 1, samples(contents))
    assert database.execute("SELECT count(*) FROM dictionaries").fetchone() == (0,)
    squeezer.learn(PAYLOAD, 300, samples(contents))
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
    squeezer.learn(PAYLOAD, 200, samples(alike(200)))
    kept(database, squeezer, alike(400, seed=2))
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
    squeezer.learn(PAYLOAD, 200, samples([noise.randbytes(200) for _ in range(200)]))
    squeezer.learn(PAGE, 50, samples([b"x"]))
    squeezer.learn(PAYLOAD, 201, samples(alike(200)))
    assert database.execute("SELECT kind, rows, body FROM dictionaries").fetchall() == [
        ("payload", 200, None), ("page", 50, None),
    ]  # fmt: skip
    assert zstandard.get_frame_parameters(squeezer.pack(PAYLOAD, b"x" * 100)).dict_id == 0


def test_a_dictionary_that_is_gone_is_named(database: sqlite3.Connection) -> None:
    """A block that needs one raises, it does not read as something else."""
    squeezer = Squeezer(database, expander(database).expand)
    squeezer.learn(PAYLOAD, 300, samples(alike(300)))
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
    squeezer.learn(PAYLOAD, 300, samples(alike(300)))
    database.execute("ROLLBACK")
    squeezer.forget()
    assert zstandard.get_frame_parameters(squeezer.pack(PAYLOAD, alike(1)[0])).dict_id == 0


def repacked(squeezer: Squeezer, count: int = 100) -> None:
    """Pack again what has to be, in steps."""
    key: int | None = -1
    while key is not None:
        key = squeezer.repack(PAYLOAD, key, count)


def test_a_dictionary_does_not_outlive_what_it_was_learned_from(database: sqlite3.Connection) -> None:
    """One payload less, and another dictionary takes its place; no word of what is gone is left."""
    squeezer = Squeezer(database, expander(database).expand)
    contents = alike(300)
    contents[7] = contents[7].replace(b"order", b"secret-of-seven")
    squeezer.learn(PAYLOAD, 300, samples(contents))
    kept(database, squeezer, contents)
    assert squeezer.give_up(PAYLOAD) == []
    database.execute("DELETE FROM payloads WHERE id = 8")
    assert squeezer.give_up(PAYLOAD) == [1]
    assert squeezer.give_up(PAYLOAD) == [1]  # as after a crash between
    fresh = squeezer.pack(PAYLOAD, contents[0])
    repacked(squeezer)
    assert squeezer.give_up(PAYLOAD) == []
    stored = database.execute("SELECT id, body FROM payloads ORDER BY id").fetchall()
    assert {dictionary_of(body) for _, body in stored} == {dictionary_of(fresh)} == {2}
    expand = expander(database).expand
    assert [expand(body) for _, body in stored] == [*contents[:7], *contents[8:]]
    rows = database.execute("SELECT id, kind, rows, body FROM dictionaries").fetchall()
    assert [row[:3] for row in rows] == [(2, "payload", 300)]
    assert b"secret-of-seven" not in rows[0][3]


def test_where_nothing_can_be_learned_blocks_stand_alone(database: sqlite3.Connection) -> None:
    """With too little left for another dictionary the blocks need none."""
    squeezer = Squeezer(database, expander(database).expand)
    contents = alike(300)
    squeezer.learn(PAYLOAD, 300, samples(contents))
    kept(database, squeezer, contents)
    database.execute("DELETE FROM payloads WHERE id > 2")
    assert squeezer.give_up(PAYLOAD) == [1]
    repacked(squeezer)
    blocks = [body for (body,) in database.execute("SELECT body FROM payloads ORDER BY id")]
    assert [dictionary_of(block) for block in blocks] == [0, 0]
    assert [expander(database).expand(block) for block in blocks] == contents[:2]
    assert database.execute("SELECT id, kind, body FROM dictionaries").fetchall() == [(2, "payload", None)]


def test_an_older_dictionary_gives_way_to_the_newest(database: sqlite3.Connection) -> None:
    """If only the older one has lost something, nothing is learned again. One that does not say is not trusted."""
    squeezer = Squeezer(database, expander(database).expand)
    kept(database, squeezer, alike(300))
    squeezer.learn(PAYLOAD, 300, samples(alike(300)))
    others = [content.upper() for content in alike(300, seed=2)]
    squeezer.learn(PAYLOAD, 300 * GROWTH, samples(others, 301))
    kept(database, squeezer, others)
    database.execute("UPDATE dictionaries SET learned_from = NULL WHERE id = 1")
    assert squeezer.give_up(PAYLOAD) == []
    database.execute("INSERT INTO erased VALUES (1)")
    assert squeezer.give_up(PAYLOAD) == [1]
    repacked(squeezer)
    assert database.execute("SELECT id, rows FROM dictionaries").fetchall() == [(2, 300 * GROWTH)]


def test_pages_go_by_their_runs(database: sqlite3.Connection) -> None:
    """A dictionary for pages is given up when one of the runs is gone whose pages it was learned from."""
    squeezer = Squeezer(database, expander(database).expand)
    database.executemany("INSERT INTO runs VALUES (?)", ((number,) for number in range(1, 101)))
    squeezer.learn(PAGE, 100, samples(alike(100)))
    names = database.execute("SELECT learned_from FROM dictionaries").fetchone()[0]
    assert names == str(list(range(37, 101))).replace(" ", "")
    database.execute("DELETE FROM runs WHERE pk = 36")
    assert squeezer.give_up(PAGE) == []
    database.execute("DELETE FROM runs WHERE pk = 37")
    assert squeezer.give_up(PAGE) == [1]


def test_another_writer_uses_the_newest_once_it_looks(database: sqlite3.Connection) -> None:
    """What one has given up, the other does not go on needing."""
    one, two = (Squeezer(database, expander(database).expand) for _ in range(2))
    contents = alike(300)
    one.learn(PAYLOAD, 300, samples(contents))
    kept(database, one, contents)
    two.look_around()
    assert dictionary_of(two.pack(PAYLOAD, contents[0])) == 1
    database.execute("DELETE FROM payloads WHERE id = 8")
    one.give_up(PAYLOAD)
    two.look_around()
    assert dictionary_of(two.pack(PAYLOAD, contents[0])) == 2
