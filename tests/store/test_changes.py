from __future__ import annotations

from tachograph.events.content import Content, canonical_hash, digest, inline
from tachograph.events.message import MessageAppended
from tachograph.events.run import Failure
from tachograph.store.changes import Changes, RunState, fail, first_64, hash_bytes, receive, same_bytes, totals
from tachograph.store.project import project
from tachograph.store.rows import TOTALS, SessionRow, StepRow
from tachograph.store.tables import Tables
from tests.strategies import Tape


def begun(**facts: str) -> tuple[Tape, RunState, Changes]:
    """A run with its start projected."""
    tape = Tape()
    tape.begin(**facts)
    state, changes = RunState.begin(1, tape.events[0]), Changes(Tables())
    project(changes, state, tape.events)
    return tape, state, changes


def test_equal_values_have_equal_numbers() -> None:
    """Key order and spelling do not matter to `same_value`; every byte does to `same_bytes`."""
    changes = Changes(Tables())
    one, two = inline('{"a":1,"b":2}'), inline('{"b": 2.0, "a": 1}')
    assert changes.same_value(one) == changes.same_value(two) == first_64(canonical_hash(one.text or ""))
    assert same_bytes(one) != same_bytes(two)
    assert changes.same_value(None) is None
    assert changes.same_value(Content(level="none")) is None


def test_a_content_known_by_hash_is_compared_by_its_bytes() -> None:
    """With the bytes at hand the value counts; without them the hash stands for it."""
    tables = Tables()
    text = '{"b":1,"a":2}'
    named = Content(hash=digest(text.encode()).hex(), size=len(text))
    assert Changes(tables).same_value(named) == same_bytes(named)
    tables.keep(digest(text.encode()), text.encode(), None)
    assert Changes(tables).same_value(named) == first_64(canonical_hash(text))


def test_only_a_hash_is_a_hash() -> None:
    """64 hex digits, or nothing."""
    name = digest(b"x")
    assert hash_bytes(name.hex()) == hash_bytes(name.hex().upper()) == name
    assert [hash_bytes(text) for text in (None, "", "ab", "z" * 64, name.hex() + "00")] == [None] * 5


def test_contents_are_placed_by_what_is_known_of_them() -> None:
    """Text stays text, a hash becomes a payload, what stands in the transcript or nowhere becomes nothing."""
    _, state, changes = begun()
    name = digest(b"12").hex()
    placed = [
        changes.place(state.row, content)
        for content in (None, inline("1"), Content(hash=name, size=2), Content(hash=name, level="message"), Content())
    ]
    assert placed == [(None, None), ("1", None), (None, 1), (None, None), (None, None)]


def test_a_receipt_counts_what_happened_on_the_way_in() -> None:
    """Cuts and repairs count once a content, redactions as often as they fired."""
    _, state, _ = begun()
    receive(state.row, Content(text="1", size=1, full_size=9, redacted={"key": 2, "card": 3}, marks=("nan", "cycle")))
    receive(state.row, inline("2"))
    assert (state.row.truncated, state.row.redacted, state.row.sanitized) == (1, 5, 1)


def test_an_error_is_noted_once_and_kept() -> None:
    """No error leaves the columns as they are; an empty category is none."""
    row = StepRow(run=1, step=1, kind="custom", name="x", started_at=0)
    fail(row, Failure("ValueError", "no"))
    fail(row, None)
    assert (row.error_type, row.error_category, row.error_message) == ("ValueError", None, "no")


def test_a_message_below_a_lost_one_begins_anew() -> None:
    """A parent that is not there counts as the empty transcript."""
    tape, state, changes = begun()
    body = MessageAppended(role="user", parent=77, message=inline("1"))
    assert changes.append(state, 1, body) == 0
    assert state.nodes == {1: 1}
    assert changes.node(state, 1) == 1
    assert changes.node(state, 99) == 0
    assert tape.events[0].seq == 0


def test_an_incomplete_state_reads_the_log_once() -> None:
    """Open steps and nodes of earlier batches come from the log; what the batch brought stays."""
    tape, state, changes = begun()
    tape.say("user", "1")
    tape.call()
    tape.done(tape.step())
    tables = changes.known
    assert isinstance(tables, Tables)
    project(changes, state, tape.events[1:])
    tables.logs[tape.run] = list(tape.events)
    late = RunState(state.row)
    late.nodes[9] = 5
    assert changes.close(late, 2, tape.mono) == 4_000_000 - 1_000_000
    assert (late.complete, late.open, late.nodes) == (True, {0: tape.events[0].mono}, {1: 1, 9: 5})
    state.rest()
    assert (state.complete, state.open, state.nodes) == (False, {}, {})


def test_leaving_a_session_takes_everything_along() -> None:
    """Counters shrink, times and user become those of the runs that stay; with none left `runs` is 0."""
    _, state, changes = begun(session="s", user="ann")
    _, other, _ = begun(session="s", user="bob")
    other.row.id, other.row.started_at, other.row.updated_at = "b", 5, 7
    changes.count(other.row, totals(other.row), new=True)
    changes.leave(("default", "s"), [state.row], [other.row])
    session = changes.sessions.get(("default", "s"))
    assert isinstance(session, SessionRow)
    assert (session.runs, session.started_at, session.updated_at, session.user, session.last_run) == (
        1,
        5,
        7,
        "bob",
        "b",
    )
    changes.leave(("default", "s"), [other.row], [])
    assert [session.runs, *(getattr(session, name) for name in TOTALS)] == [0] * (1 + len(TOTALS))
