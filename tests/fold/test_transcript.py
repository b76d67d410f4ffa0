from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Event
from tachograph.events.message import ROOT, MessageAppended, node_hash
from tachograph.fold.asks import Answer, Ask
from tachograph.fold.transcript import Fault, Link, Message, collect, cuts, faults, links, open_calls, read
from tests.strategies import Tape, any_runs, texts


def ask(*ids: str | None, name: str = "search") -> dict[str, Any]:
    """An assistant's message that asks for tools."""
    calls = [{"id": each, "function": {"name": name, "arguments": "{}"}} for each in ids]
    return {"role": "assistant", "tool_calls": calls}


def answer(call: str | None = None, name: str | None = None) -> dict[str, Any]:
    """A tool's message."""
    return (
        {"role": "tool", "content": "4"} | ({"tool_call_id": call} if call else {}) | ({"name": name} if name else {})
    )


USER: dict[str, Any] = {"role": "user", "content": "hi"}
REPLY: dict[str, Any] = {"role": "assistant", "content": "done"}


# --- the tree ---


def test_a_transcript_is_a_path() -> None:
    """Two replies to the same question share their beginning; each path reads from the first message to its tip."""
    tape = Tape()
    tape.begin()
    question = tape.say("user", USER)
    one = tape.say("assistant", REPLY, question)
    two = tape.say("assistant", ask("c1"), question, by_hash=True)
    reminder = tape.add(MessageAppended(role="user", parent=one, message=inline("{}"), ephemeral=True))
    transcripts = collect(tape.events)
    assert [message.node for message in transcripts.path(two)] == [question, two]
    assert [message.role for message in transcripts.path(reminder)] == ["user", "assistant", "user"]
    assert transcripts.path(None) == []
    assert transcripts.tips == (one, two)
    with pytest.raises(KeyError):
        transcripts.path(99)


def test_a_node_hash_names_the_whole_path() -> None:
    """A node's hash chains the hashes of its messages, whether their text is here or elsewhere."""
    tape = Tape()
    tape.begin()
    first = tape.say("user", "1")
    second = tape.say("assistant", "2", first, by_hash=True)
    one = node_hash(ROOT, digest(b"1"))
    messages = collect(tape.events).messages
    assert (messages[first].hash, messages[second].hash) == (one, node_hash(one, digest(b"2")))


def test_a_path_through_content_that_was_not_kept_has_no_hash() -> None:
    """Where not even a hash of a message was kept, it and all that follow it have no node hash."""
    tape = Tape()
    tape.begin()
    kept = tape.say("user", "1")
    gone = tape.add(MessageAppended(role="user", parent=kept, message=Content(level="none")))
    after = tape.say("assistant", "2", gone)
    messages = collect(tape.events).messages
    assert [messages[node].hash is None for node in (kept, gone, after)] == [False, True, True]


def test_a_message_whose_parent_is_lost_begins_anew() -> None:
    """A message that names one which is not there, or not before it, stands first and says so."""
    tape = Tape()
    tape.begin()
    lost = tape.say("user", "1", parent=77)
    later = tape.say("user", "1", parent=3)
    transcripts = collect(tape.events)
    assert transcripts.messages[lost] == Message(
        lost, "user", inline("1"), parent=None, orphan=True, hash=node_hash(ROOT, digest(b"1"))
    )
    assert [message.orphan for message in transcripts.path(later)] == [True]


def test_contents_are_fetched_together() -> None:
    """Messages kept by hash are asked for once, all together; what cannot be had or read is None."""
    asked: list[int] = []

    def fetch(hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        asked.append(len(hashes))
        return {digest(text): text for text in (b'{"a":1}', b"not json") if digest(text) in hashes}

    by_hash = [Content(hash=digest(text).hex()) for text in (b'{"a":1}', b"not json", b"gone", b'{"a":1}')]
    contents = [inline('{"b":2}'), *by_hash, Content(level="none"), inline("{")]
    path = [Message(node, "user", content) for node, content in enumerate(contents)]
    assert read(path, fetch) == [{"b": 2}, {"a": 1}, None, None, {"a": 1}, None, None]
    assert asked == [3]
    assert read(path) == [{"b": 2}, None, None, None, None, None, None]


@given(any_runs)
def test_any_messages_make_a_tree(events: list[Event]) -> None:
    """On any stream every message is on exactly the paths of its tips, and equal paths have equal hashes."""
    transcripts = collect(events)
    assert not any(transcripts.apply(event) for event in events)
    by_path: dict[tuple[str | None, ...], bytes | None] = {}
    reached = set()
    for node in transcripts.messages:
        path = transcripts.path(node)
        assert [message.parent for message in path] == [None, *(message.node for message in path[:-1])]
        texts = tuple(message.content.hash or digest((message.content.text or "").encode()).hex() for message in path)
        assert by_path.setdefault(texts, path[-1].hash) == path[-1].hash
        if node in transcripts.tips:
            reached |= {message.node for message in path}
    assert len(set(by_path.values())) == len(by_path)
    assert reached == set(transcripts.messages)


# --- calls and results ---


def test_results_find_their_calls() -> None:
    """Results answer by id, in any order; those that answer nothing are told apart."""
    messages = [USER, ask("c1", "c2"), answer("c2"), answer("c1"), answer("c9"), ask("c3")]
    assert links(messages) == (
        [
            Link(Ask("c1", "search", "{}"), 1, 3),
            Link(Ask("c2", "search", "{}"), 1, 2),
            Link(Ask("c3", "search", "{}"), 5),
        ],
        [(4, Answer("c9", None))],
    )
    assert [link.ask.id for link in open_calls(messages)] == ["c3"]


def test_repeated_ids_pair_in_order() -> None:
    """Models repeat ids: each result answers the oldest call of its id that is still open."""
    found, unasked = links([ask("c1"), answer("c1"), ask("c1", "c1"), answer("c1"), answer("c1")])
    assert [(link.asked, link.answered) for link in found] == [(0, 1), (2, 3), (2, 4)]
    assert unasked == []


def test_calls_without_ids_pair_by_name_and_order() -> None:
    """Where a provider gives no ids, the name decides, then the order."""
    messages = [
        {"role": "model", "parts": [{"functionCall": {"name": name}} for name in ("a", "b", "a")]},
        {"role": "user", "parts": [{"functionResponse": {"name": name}} for name in ("b", "a")]},
        {"role": "function", "content": "whose?"},
    ]
    found, unasked = links(messages)
    assert [(link.ask.name, link.answered) for link in found] == [("a", 1), ("b", 1), ("a", 2)]
    assert unasked == []


def test_an_id_goes_before_a_name() -> None:
    """A result with an id answers the call of that id; where no call has it, one of its name that has no id."""
    messages = [
        ask(None, "c1", None),
        answer("c1", "search"),
        answer("c7", "search"),
        answer("c8", "pay"),
        answer("c9"),
    ]
    found, unasked = links(messages)
    assert [(link.ask.id, link.answered) for link in found] == [(None, 2), ("c1", 1), (None, 4)]
    assert unasked == [(3, Answer("c8", "pay"))]


def test_a_valid_transcript_has_no_faults() -> None:
    """Every call answered and every result asked for: the request may go out."""
    assert faults([USER, ask("c1", "c2"), answer("c2"), answer("c1"), REPLY]) == []
    assert faults([]) == []


def test_faults_are_named_with_their_place() -> None:
    """A result that comes before its call answers nothing, so both are faults."""
    assert faults([USER, answer("c1"), ask("c1"), ask("c2"), answer("c2")]) == [
        Fault("result_without_call", 1, "c1", None),
        Fault("call_without_result", 2, "c1", "search"),
    ]


def test_what_could_not_be_read_is_not_held_against_its_neighbours() -> None:
    """A message whose content was not kept may hold the call of a later result, or the result of an earlier call."""
    assert faults([ask("c1"), None, answer("c2")]) == []
    assert faults([answer("c0"), ask("c1"), None, answer("c2"), ask("c3")]) == [
        Fault("result_without_call", 0, "c0", None),
        Fault("call_without_result", 4, "c3", "search"),
    ]


def test_cuts_stand_between_pairs() -> None:
    """A transcript may be cut where no call is waiting for its result and no reasoning is cut off."""
    messages = [USER, ask("c1", "c2"), answer("c1"), answer("c2"), {"type": "reasoning"}, REPLY, USER]
    assert cuts(messages) == [0, 1, 4, 6, 7]


def test_an_open_call_forbids_every_later_cut() -> None:
    """The result of an open call will come, so nothing after the call may be cut."""
    assert cuts([USER, ask("c1"), USER, ask("c2"), answer("c2")]) == [0, 1]


turns = st.lists(
    st.sampled_from((USER, REPLY, None, {"type": "reasoning"}))
    | st.lists(st.sampled_from(("c1", "c2", "c3", None)), min_size=1, max_size=3).map(lambda ids: ask(*ids))
    | st.sampled_from(("c1", "c2", "c3", None)).map(answer),
    max_size=14,
)


@given(turns)
def test_cuts_are_exactly_the_safe_ones(messages: list[Any]) -> None:
    """A position is a cut exactly when no pair, and no reasoning with what follows it, lies on both sides of it."""
    found, _ = links(messages)
    joined = [(link.asked, link.answered if link.answered is not None else len(messages)) for link in found]
    joined += [(place, place + 1) for place, each in enumerate(messages) if each == {"type": "reasoning"}]
    assert cuts(messages) == [
        cut for cut in range(len(messages) + 1) if not any(first < cut <= last for first, last in joined)
    ]


@given(turns)
def test_both_sides_of_a_cut_pair_as_the_whole(messages: list[Any]) -> None:
    """Cutting breaks no pair: the calls before and after a cut are answered as they were in the whole."""
    whole = [(link.asked, link.answered) for link in links(messages)[0]]
    for cut in cuts(messages):
        head = [(link.asked, link.answered) for link in links(messages[:cut])[0]]
        tail = [(link.asked, link.answered) for link in links(messages[cut:])[0]]
        assert whole == head + [(asked + cut, None if done is None else done + cut) for asked, done in tail]


@given(st.lists(texts, max_size=6, unique=True))
def test_answering_every_call_makes_a_transcript_valid(ids: list[str]) -> None:
    """Whatever the ids are, a transcript in which each call has its result has no faults and can be cut at its ends."""
    messages = [USER, *(part for each in ids for part in (ask(each), answer(each or None, "search")))]
    assert faults(messages) == []
    assert {0, len(messages)} <= set(cuts(messages))


def test_recorded_conversations_are_valid(shared_data: Path) -> None:
    """Real conversations, with ids that repeat, pair without a fault."""
    checked = calls = 0
    for messages in recorded(shared_data / "trajectories"):
        found, unasked = links(messages)
        assert (faults(messages), unasked) == ([], [])
        checked, calls = checked + 1, calls + len(found)
    assert checked >= 390
    assert calls > 2_000


def recorded(folder: Path) -> Iterator[list[Any]]:
    """The messages of the recorded customer-service conversations."""
    for path in sorted((*folder.glob("tau_bench/*.gz"), *folder.glob("tau2_bench/*.gz"))):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)["record"]
                yield record["traj"] if "traj" in record else record["messages"]
