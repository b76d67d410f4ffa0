from __future__ import annotations

import pytest
from hypothesis import given

from tachograph.agent.compact.exchanges import Block, Group, blocks, first_of, groups, results
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.state import Corrected, Fact, Moved, Nudged, Refused, State, Told, advance
from tachograph.agent.transcript import check
from tachograph.events.chat import Message, assistant, system, user
from tests.agent.compact.conversations import conversations, turn

TALK = [system("Be brief."), *turn("a", "1", "2"), *turn("b"), *turn("c", "3", "4", "5", answer="")]
"""0 system · 1 a, 2-3, 4-5, 6 · 7 b, 8 · 9 c, 10-11, 12-13, 14-15"""
NUDGE = Message("user", "Go on.", name="nudge")


def test_a_reply_and_its_results_are_one_block() -> None:
    """Exchanges are counted by what a person says; the runtime begins none."""
    found = blocks([*TALK[:7], NUDGE, assistant("so")])
    assert found == [
        Block(0, 1, "system", 0),
        Block(1, 2, "user", 1),
        Block(2, 4, "reply", 1),
        Block(4, 6, "reply", 1),
        Block(6, 7, "reply", 1),
        Block(7, 8, "said", 1),
        Block(8, 9, "reply", 1),
    ]


@pytest.mark.parametrize(
    "fact",
    [Nudged("x"), Corrected("x"), Moved("x", "x"), Refused("x", "x"), Told("resumed", "x")],
    ids=lambda fact: type(fact).__name__,
)
def test_whatever_the_runtime_says_begins_no_exchange(fact: Fact) -> None:
    """Its messages are known by their names, wherever a run says something to its model."""
    state = advance(State(messages=(user("a"), assistant("b"))), fact)
    assert [block.kind for block in blocks(state.messages) if block.exchange > 1 or block.kind == "said"] == ["said"]


def test_older_exchanges_go_before_nearer_ones() -> None:
    """First those that are not kept, then all but the present one, then that one's replies but for the last."""
    found = groups(TALK, Compaction(keep=2, rounds=2))
    assert found == [Group((2, 3, 4, 5, 6), 0), Group((7, 8), 1), Group((10, 11), 2)]
    assert groups(TALK, Compaction(keep=9, rounds=9)) == [Group((2, 3, 4, 5, 6), 1), Group((7, 8), 1)]


def test_what_a_person_said_first_goes_only_into_a_summary() -> None:
    """And only where the policy lets it; where a summary stands for it already, nothing else is the first."""
    policy = Compaction(keep=1, keep_first=False, rounds=3)
    assert groups(TALK, policy)[0] == Group((1, 2, 3, 4, 5, 6), 0)
    assert groups(TALK, policy, dropping=True)[0] == Group((2, 3, 4, 5, 6), 0)
    later = [TALK[0], Message("user", "All that was.", name="summary"), *TALK[7:]]
    assert (first_of(TALK), first_of(later), first_of([])) == (1, None, None)
    assert groups(later, policy)[:2] == [Group((1,), 0), Group((2, 3), 0)]
    assert groups(later, policy, dropping=True)[0] == Group((2, 3), 0)


def test_a_greeting_stays_with_what_is_said_first() -> None:
    """A summary in front of it would be taken for one of it."""
    talk = [assistant("Hello."), *turn("a", "1", "2", "3")]
    assert groups(talk, Compaction(rounds=1, keep_first=False)) == [
        Group((2, 3), 2),
        Group((4, 5), 2),
        Group((6, 7), 2),
    ]


def test_pinned_messages_keep_their_block() -> None:
    """A pinned result keeps its call and the other results of that reply."""
    policy = Compaction(keep=1, rounds=3, pinned=lambda message: message.text == "2")
    assert groups(TALK, policy)[:2] == [Group((2, 3, 6), 0), Group((7, 8), 0)]
    assert results(TALK, policy, reach=3) == [3, 11, 13, 15]


def test_the_end_is_held() -> None:
    """What another reply will take the place of, and what its block needs, stays."""
    assert groups(TALK, Compaction(keep=1, rounds=1), held=5)[-1] == Group((7, 8), 0)
    assert results(TALK, Compaction(keep=1), reach=3, held=1) == [3, 5, 11, 13]


def test_results_are_reached_step_by_step() -> None:
    """Older exchanges, nearer ones, the older replies of the present one, all."""
    policy = Compaction(keep=2, rounds=2)
    assert [results(TALK, policy, reach=reach) for reach in range(4)] == [
        [3, 5],
        [3, 5],
        [3, 5, 11],
        [3, 5, 11, 13, 15],
    ]


@given(talk=conversations())
def test_any_choice_of_groups_leaves_a_valid_conversation(talk: tuple[Message, ...]) -> None:
    """No call without its results: each group can go by itself, and all of them together."""
    check(talk)
    for dropping in (False, True):
        found = groups(talk, Compaction(keep=1, rounds=1), dropping=dropping)
        places = [place for group in found for place in group.positions]
        assert places == sorted(set(places))
        for gone in (*(set(group.positions) for group in found), set(places)):
            check([message for place, message in enumerate(talk) if place not in gone])


@given(talk=conversations())
def test_every_message_is_in_one_block(talk: tuple[Message, ...]) -> None:
    """In order, without a gap."""
    found = blocks(talk)
    assert [place for block in found for place in range(block.start, block.end)] == list(range(len(talk)))


def test_several_messages_of_a_person_are_one_turn() -> None:
    """Until somebody answers."""
    assert [block.exchange for block in blocks([user("a"), user("b"), assistant("c"), user("d")])] == [1, 1, 1, 2]
