from __future__ import annotations

import pytest

from tachograph.queries.views.conversation import Conversation, Turn, conversation
from tachograph.queries.views.request import request
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Query, Where
from tachograph.web.run.transcript import alone, asked_for, repeated, told
from tests.queries.kept import batch
from tests.queries.views.talk import Talk


@pytest.fixture
def talk() -> Talk:
    """A run in which all stands that a conversation can have."""
    return Talk()


@pytest.fixture
def store(talk: Talk) -> MemoryStore:
    """It, stored."""
    made = MemoryStore()
    made.append(batch(talk.events))
    return made


def _pk(store: MemoryStore, run: str) -> int:
    return int(store.find(Query("runs", (Where("id", "eq", run),), ("pk",))).rows[0]["pk"])


def test_a_conversation_call_by_call(store: MemoryStore, talk: Talk) -> None:
    """Tools by name and once, reminders as what they are, marks in words, and what each request goes on from."""
    first, second, third = told(conversation(store, talk.run, _pk(store, talk.run)))
    assert (first.tools, first.params, second.tools) == (("search", "pay"), '{"temperature":0}', ())
    assert [(each.role, each.ephemeral) for each in first.sent] == [("system", False), ("user", False), ("user", True)]
    assert [(ask.name, ask.state, ask.seq) for ask in first.came[0].asks] == [
        ("search", "completed", talk.at_seq["found"]), ("pay", "rejected", talk.at_seq["refused"]),
    ]  # fmt: skip
    assert (second.sent, second.follows, second.is_break) == ((), "3 messages as before", False)
    assert third.is_break
    assert "nothing said before" in third.follows
    assert [(mark.label, mark.text) for turn in (second, third) for mark in turn.marks] == [
        ("limit: block", "tool_loop 2 of 2 · pay was refused"), ("hand-off", "to billing · it is about money"),
    ]  # fmt: skip
    assert first.call is not None
    assert (first.call.input, first.call.cached, first.call.cost, first.call.finish) == (150, 50, 1_000, "tool_calls")
    assert third.came[0].parts[0].text == "It is on its way."
    assert (third.sent[1].asks[0].seq, third.sent[1].asks[0].result[0].text) == (talk.at_seq["found2"], "found again")


def test_what_one_call_saw(store: MemoryStore, talk: Talk) -> None:
    """What is new against the request before, and apart from it what was repeated."""
    saw = request(store, talk.run, _pk(store, talk.run), talk.at_seq["second"])
    shown = asked_for(saw, talk.run)
    assert [each.seq for each in shown.sent] == [talk.at_seq["ask"]]
    assert [ask.state for ask in shown.sent[0].asks] == ["completed", "rejected"]
    assert [each.seq for each in repeated(saw, talk.run)] == [talk.at_seq["system"], talk.at_seq["user"]]
    assert alone(saw.new[1], talk.run).parts[0].kind == "result"


@pytest.mark.parametrize(
    ("turn", "follows", "is_break"),
    [
        (Turn(call=1, seq=1, follows="first"), "", False),
        (Turn(call=1, seq=1, follows="on", repeated=2), "2 messages as before", False),
        (Turn(call=1, seq=1, follows="unknown"), "What was said before, as before", False),
        (Turn(call=1, seq=1, follows="earlier", after=4, repeated=2),
         "Goes on from message 4 (2 messages): what was said behind that is not in this request", True),
        (Turn(call=1, seq=1, is_begun=False), "The reply to a request on the page before", False),
        (Turn(call=None, seq=1), "", False),
    ],
)  # fmt: skip
def test_what_a_request_goes_on_from(turn: Turn, follows: str, is_break: bool) -> None:
    """In a sentence, and whether it leaves something behind."""
    [shown] = told(Conversation(run="r-1", turns=(turn,), first=0, last=1, stored=2))
    assert (shown.follows, shown.is_break) == (follows, is_break)
