from __future__ import annotations

import pytest

from tachograph.errors import NotFound
from tachograph.queries.views.request import SHOWN, request
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.strategies import Tape


def _pk(store: Store, run: str) -> int:
    return int(store.find(Query("runs", (Where("id", "eq", run),), ("pk",))).rows[0]["pk"])


def test_a_request_against_the_one_before(store: Store) -> None:
    """What both had, what is new, what is gone, the reply, and the calls before and behind."""
    talk = Talk()
    store.append(batch(talk.events))
    at = talk.at_seq
    saw = request(store, talk.run, _pk(store, talk.run), at["second"])
    assert [said.node for said in saw.before] == [at["system"], at["user"]]
    assert [said.node for said in saw.new] == [at["ask"], at["found"], at["refused"]]
    assert ([said.node for said in saw.came], saw.repeated, saw.compared, saw.gone) == ([at["over"]], 2, at["first"], 0)
    assert (saw.previous, saw.next) == (at["first"], at["third"])
    assert [row["name"] for row in saw.results[at["first"]]] == ["search", "pay"]


def test_the_first_request_is_all_new(store: Store) -> None:
    """There is nothing before it, and a reminder is among what it saw; after a hand-off it is the same."""
    talk = Talk()
    store.append(batch(talk.events))
    at, pk = talk.at_seq, _pk(store, talk.run)
    saw = request(store, talk.run, pk, at["first"])
    assert (saw.before, saw.repeated, saw.compared, saw.previous) == ((), 0, None, None)
    assert [said.ephemeral for said in saw.new] == [False, False, True]
    assert request(store, talk.run, pk, at["third"]).before == ()


def test_what_is_gone_is_counted(store: Store) -> None:
    """Messages of the request before that are not in this one, its reply not counted."""
    tape = Tape("gone")
    tape.begin()
    first = tape.say("user", '"a"')
    call = tape.call(input=tape.say("user", '"b"', first))
    tape.reply(call)
    other = tape.call(input=tape.say("user", '"c"', first))
    store.append(batch(tape.events))
    saw = request(store, tape.run, _pk(store, tape.run), other)
    assert (saw.repeated, saw.compared, saw.gone, len(saw.new), saw.came) == (1, call, 1, 1, ())


def test_of_a_long_prefix_the_newest_messages_are_given(store: Store) -> None:
    """The rest is a number."""
    tape = Tape("long")
    tape.begin()
    tip = None
    for number in range(SHOWN + 20):
        tip = tape.say("user", f'"{number}"', tip)
    tape.reply(tape.call(input=tip))
    last = tape.call(input=tape.say("user", '"more"', tip))
    store.append(batch(tape.events))
    saw = request(store, tape.run, _pk(store, tape.run), last)
    assert (len(saw.before), saw.repeated, saw.before[-1].node) == (SHOWN, SHOWN + 20, tip)


def test_what_is_no_call_is_not_found(store: Store) -> None:
    """A step of another kind, and one that is not there, are refused."""
    talk = Talk()
    store.append(batch(talk.events))
    for step in (talk.at_seq["search"], 9_999):
        with pytest.raises(NotFound):
            request(store, talk.run, _pk(store, talk.run), step)
