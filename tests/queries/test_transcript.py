from __future__ import annotations

import pytest

from tachograph.errors import NotFound
from tachograph.events.content import Content, digest, inline
from tachograph.events.message import MessageAppended
from tachograph.queries.transcript import Said, Transcript, transcript
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import Tape

SYSTEM, QUESTION, ANSWER, MORE = '{"role":"system"}', '{"q": 1}', '{"a":"h\\u00e9"}', '{"q":2}'


def _said(node: int, role: str, text: str, **facts: bool) -> Said:
    data = text.encode()
    return Said(node, role, text, Content(hash=digest(data).hex(), size=len(data)), **facts)


def _talk(store: Store) -> Tape:
    """Two calls of one conversation; the second has a reminder at its tail and no reply yet."""
    tape = Tape()
    tape.begin()
    system = tape.say("system", SYSTEM)
    question = tape.say("user", QUESTION, system)
    first = tape.call(input=question, tools=inline("[]"), params=inline('{"t": ' + "1" * 600 + "}"))
    tape.reply(first, output=tape.say("assistant", ANSWER, question, step=first))
    more = tape.say("user", MORE, 4)
    tape.call("anthropic", "claude", input=more)
    store.append(batch(tape.events))
    return tape


def test_a_call_reads_back_byte_for_byte(store: Store) -> None:
    """The messages sent and the reply come as they were recorded, with tools and parameters."""
    tape = _talk(store)
    assert transcript(store, tape.run, 3) == Transcript(
        run=tape.run,
        call=3,
        model="gpt-4o",
        input=(_said(1, "system", SYSTEM), _said(2, "user", QUESTION)),
        output=(_said(4, "assistant", ANSWER),),
        tools="[]",
        params='{"t": ' + "1" * 600 + "}",
    )


def test_without_a_call_the_last_one(store: Store) -> None:
    """Without a call the last one is meant; one that is still open has no reply."""
    tape = _talk(store)
    found = transcript(store, tape.run)
    assert (found.call, found.model, found.output, found.tools) == (7, "claude", (), None)
    assert [said.text for said in found.input] == [SYSTEM, QUESTION, ANSWER, MORE]


def test_a_conversation_without_calls(store: Store) -> None:
    """A run that made no model call shows its conversation as far as it goes, or nothing."""
    tape, silent = Tape("talk"), Tape("silent")
    tape.begin()
    silent.begin()
    tape.say("user", ANSWER, tape.say("user", QUESTION))
    store.append(batch(tape.events, silent.events))
    said = (_said(1, "user", QUESTION), _said(2, "user", ANSWER))
    assert transcript(store, tape.run) == Transcript(tape.run, None, None, said, ())
    assert transcript(store, silent.run) == Transcript(silent.run, None, None, (), ())


def test_text_that_was_not_kept(store: Store) -> None:
    """A message whose text was not kept has none, and says how it was recorded."""
    tape = Tape()
    tape.begin()
    hidden = Content(hash="ab" * 32, size=4, level="hashed")
    node = tape.add(MessageAppended(role="user", message=hidden))
    store.append(batch(tape.events))
    (said,) = transcript(store, tape.run).input
    assert (said.node, said.role, said.text, said.content.level) == (node, "user", None, "hashed")


def test_no_such_call(store: Store) -> None:
    """A step that is no model call of the run is not found."""
    tape = _talk(store)
    with pytest.raises(NotFound, match=f"no model call has the id '{tape.run}/1'"):
        transcript(store, tape.run, 1)
