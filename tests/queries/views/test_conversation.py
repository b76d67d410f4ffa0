from __future__ import annotations

from tachograph.events.limit import LimitHit
from tachograph.events.run import StepStarted
from tachograph.queries.views.conversation import BEFORE_IT, MESSAGES, begin_before, calls_near, conversation
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.strategies import Tape


def _pk(store: Store, run: str) -> int:
    return int(store.find(Query("runs", (Where("id", "eq", run),), ("pk",))).rows[0]["pk"])


def test_each_call_has_what_was_new_in_it_and_its_reply(store: Store) -> None:
    """What earlier requests had is not said again; what happened between stands with the call that followed."""
    talk = Talk()
    store.append(batch(talk.events))
    at = talk.at_seq
    found = conversation(store, talk.run, _pk(store, talk.run))
    assert [
        (turn.call, turn.follows, [said.node for said in turn.sent], [said.node for said in turn.came])
        for turn in found.turns
    ] == [
        (at["first"], "first", [at["system"], at["user"], at["reminder"]], [at["ask"]]),
        (at["second"], "on", [at["found"], at["refused"]], [at["over"]]),
        (at["third"], "anew", [at["system2"], at["again"], at["found2"]], [at["answer"]]),
    ]
    assert [said.ephemeral for said in found.turns[0].sent] == [False, False, True]
    assert (found.turns[1].repeated, found.turns[1].after) == (3, at["ask"])
    assert [type(mark.body) for turn in found.turns for mark in turn.marks] == [LimitHit, StepStarted]
    assert all(said.text for turn in found.turns for said in (*turn.sent, *turn.came))
    assert {step: [row["name"] for row in rows] for step, rows in found.tools.items()} == {
        at["first"]: ["search", "pay"]
    }
    assert (found.trees[at["refused"]], found.trees[at["answer"]]) == (at["system"], at["system2"])


def test_tools_and_parameters_stand_once(store: Store) -> None:
    """They are given with the first call that has them, and again only where they change."""
    talk = Talk()
    store.append(batch(talk.events))
    found = conversation(store, talk.run, _pk(store, talk.run))
    assert [(turn.tools is not None, turn.params is not None) for turn in found.turns] == [(True, True)] + [
        (False, False)
    ] * 2


def _long(store: Store, calls: int) -> Tape:
    tape = Tape("long")
    tape.begin()
    tip = tape.say("system", {"role": "system", "content": "s"})
    for number in range(calls):
        tip = tape.say("user", {"role": "user", "content": f"question {number}"}, tip)
        call = tape.call(input=tip)
        tip = tape.say("assistant", {"role": "assistant", "content": f"answer {number}"}, tip)
        tape.reply(call, output=tip)
    store.append(batch(tape.events))
    return tape


def test_a_long_conversation_is_read_in_stretches(store: Store) -> None:
    """A stretch ends with a call; the next one goes on behind it, and knows where its first request goes on from."""
    tape = _long(store, 100)
    pk = _pk(store, tape.run)
    first = conversation(store, tape.run, pk)
    assert len(first.turns) < 40
    second = conversation(store, tape.run, pk, first.last)
    assert (second.first, second.turns[0].follows, second.turns[1].follows) == (first.last + 1, "unknown", "on")
    assert second.trees[second.turns[0].sent[0].node] == BEFORE_IT
    seen, after = [], -1
    while (part := conversation(store, tape.run, pk, after)).turns:
        seen += [turn.call for turn in part.turns]
        after = part.last
    assert seen == [event.seq for event in tape.events if event.step == event.seq and event.seq]


def test_a_stretch_can_end_before_an_event(store: Store) -> None:
    """Looking back, it begins behind a call and has about as many messages; near the beginning it begins there."""
    tape = _long(store, 100)
    begin = begin_before(store, tape.run, len(tape.events))
    part = conversation(store, tape.run, _pk(store, tape.run), begin)
    assert part.last >= len(tape.events) - 1
    assert MESSAGES <= sum(len(turn.sent) + len(turn.came) for turn in part.turns) <= 2 * MESSAGES
    assert begin_before(store, tape.run, 20) == -1


def test_messages_that_no_call_has_stand_for_themselves(store: Store) -> None:
    """A run whose calls were not recorded shows what was said all the same."""
    tape = Tape("silent")
    tape.begin()
    first = tape.say("human", '"hello"')
    tape.say("agent", '"hi"', first)
    store.append(batch(tape.events))
    [turn] = conversation(store, tape.run, _pk(store, tape.run)).turns
    assert (turn.call, [said.role for said in turn.sent]) == (None, ["human", "agent"])


def test_a_request_that_forgets_says_so(store: Store) -> None:
    """One that goes on from an earlier message, and one whose reply has not come, are told as what they are."""
    tape = Tape("back")
    tape.begin()
    first = tape.say("user", '"a"')
    call = tape.call(input=first)
    tape.reply(call, output=tape.say("assistant", '"b"', first))
    tape.call(input=tape.say("user", '"c"', first))
    store.append(batch(tape.events))
    one, other = conversation(store, tape.run, _pk(store, tape.run)).turns
    assert (one.follows, other.follows, other.after, other.came) == ("first", "earlier", first, ())


def test_the_calls_around_one(store: Store) -> None:
    """So many before it, itself, and so many behind."""
    tape = _long(store, 9)
    steps = [event.seq for event in tape.events if event.step == event.seq and event.seq]
    assert [row["step"] for row in calls_near(store, _pk(store, tape.run), steps[4], each=2)] == steps[2:7]
