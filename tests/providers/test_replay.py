"""A recorded run says again what it said, and notices when it is asked something else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.agent import Agent
from tachograph.errors import ReplayMismatch
from tachograph.events import chat
from tachograph.events.chat import Message, assistant, result, system, user
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.usage import MISSING, Usage
from tachograph.providers.port import Reply, Request, TextDelta, ToolSpec
from tachograph.providers.replay import ReplayModel
from tachograph.providers.scripted import Answer, Call, Say, ScriptedModel
from tachograph.record.scrub import Scrubber
from tachograph.store.memory import MemoryStore
from tachograph.testing import capture
from tests.providers.recording import ADD, FIRST, SCRIPT, SECOND, USE, drain, recorded, reply, with_contents
from tests.queries.kept import batch

KEY = "sk-proj-" + "Ab1" * 12


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """A run of two model calls, the first of which asks for a tool."""
    return recorded(SCRIPT, FIRST, SECOND)


def test_a_recorded_run_is_given_again(events: list[Event]) -> None:
    """The same replies in the same order: message, usage, why it ended, who served it."""
    with ReplayModel(events) as model:
        first, second = reply(model, FIRST), reply(model, SECOND)
    stated = Usage(input_uncached=9, output=4, basis="provider")
    assert first == Reply(
        message=assistant("", USE), finish="tool_calls", usage=stated, raw_finish="tool_calls", served_model="m"
    )
    message = Message("assistant", "2, of course", reasoning="1 + 2")
    counted = second.usage
    assert second == Reply(message=message, finish="length", usage=counted, raw_finish="length", served_model="m-2026")
    assert (counted.output, counted.basis) == (5, "provider")
    assert (model.provider, model.model) == ("p", "m")


def test_a_stream_has_as_many_pieces_of_text_as_it_had_chunks(events: list[Event]) -> None:
    """As far as the text allows; a request that does not stream gets the reply alone."""
    model = ReplayModel(events)
    assert len(drain(model, msgspec.structs.replace(FIRST, stream=False))) == 1
    texts = [piece.text for piece in drain(model, SECOND) if isinstance(piece, TextDelta)]
    assert "".join(texts) == "2, of course"
    ended = model.calls[1].ended
    assert ended is not None
    assert len(texts) == ended.chunks


def other(place: int, message: Message) -> Request:
    """The first request with another message in one place."""
    messages = list(FIRST.messages)
    messages[place : place + 1] = [message]
    return msgspec.structs.replace(FIRST, messages=tuple(messages))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            other(0, system("Be long.")),
            'message 0 (system) differs: sent {"content":"Be long.","role":"system"}, recorded {"con',
        ),
        (
            other(1, user("1 and what is 4?")),
            'message 1 (user) differs: sent …ent":"1 and what is 4?","role":"user"}, recorded …',
        ),
        (other(1, assistant("1 and what is 3?")), "message 1 (assistant) was recorded as the user's"),
        (SECOND, "4 messages were sent, 2 are recorded; the first more is the assistant's"),
        (Request(messages=FIRST.messages[:1], tools=(ADD,)), "1 messages were sent, 2 are recorded; the first more is"),
        (Request(messages=FIRST.messages), "tools none were sent, add are recorded"),
        (
            msgspec.structs.replace(FIRST, tools=(ToolSpec("add", "Adds!", ADD.parameters),)),
            'tool add differs: sent {"description":"Adds!"',
        ),
    ],
)
def test_another_request_is_refused_with_the_first_difference(events: list[Event], asked: Request, said: str) -> None:
    """Position of the answer, place and role of the message, and both texts where they part; so at the end too."""
    model = ReplayModel(events)
    with pytest.raises(ReplayMismatch) as caught:
        drain(model, asked)
    assert (caught.value.position, said in caught.value.problem) == (1, True), caught.value
    with pytest.raises(ReplayMismatch, match="answer 1"):
        model.done()


def test_the_second_answer_is_named_as_the_second(events: list[Event]) -> None:
    """What was asked before counts."""
    model = ReplayModel(events)
    drain(model, FIRST)
    with pytest.raises(ReplayMismatch, match=r"answer 2: message 3 \(tool\) differs"):
        drain(model, msgspec.structs.replace(SECOND, messages=(*SECOND.messages[:3], result(USE, "3"))))


def test_spelling_makes_no_difference(events: list[Event]) -> None:
    """Messages are compared as values: a program that spells the same otherwise asks the same."""
    reordered = ToolSpec("add", "Adds.", {"properties": {"a": {"type": "integer"}}, "type": "object"})
    asked = msgspec.structs.replace(FIRST, tools=(reordered,))
    assert reply(ReplayModel(events), asked).message == assistant("", USE)


def test_every_answer_must_be_used_and_no_more(events: list[Event]) -> None:
    """An unused answer is told at the end, one request too many at once."""
    with pytest.raises(ReplayMismatch, match="answer 2: the recorded run has 1 more"), ReplayModel(events) as model:
        drain(model, FIRST)
    drain(model, SECOND)
    with pytest.raises(ReplayMismatch, match="answer 3: the recorded run has 2 model calls"):
        drain(model, SECOND)


def test_not_strict_gives_the_next_answer_to_anybody(events: list[Event]) -> None:
    """Whatever is asked; answers may be left, but there are no more than were recorded."""
    with ReplayModel(events, strict=False) as model:
        assert reply(model, Request(messages=(user("?"),))).finish == "tool_calls"
    drain(model, FIRST)
    with pytest.raises(ReplayMismatch, match="answer 3"):
        drain(model, FIRST)


def test_a_secret_that_was_masked_is_no_difference() -> None:
    """What is sent is redacted as the recorder did it; a difference beside the secret is one."""
    asked = Request(messages=(user(f"my key is {KEY}, use it"),))
    events = recorded(["Done."], asked)
    assert KEY not in str(events)
    assert reply(ReplayModel(events), asked).message.text == "Done."
    with pytest.raises(ReplayMismatch, match="message 0"):
        drain(ReplayModel(events), Request(messages=(user(f"my key is {KEY}, keep it"),)))


def test_rules_of_the_recording_can_be_given() -> None:
    """A program that masks e-mail addresses replays with the same scrubber."""
    own = Scrubber(redact=["email"])
    asked = Request(messages=(user("write to ann@example.org"),))
    plain = msgspec.json.encode(asked.messages[0].plain()).decode()
    events = with_contents(recorded(["Done."], asked), lambda role, old: own.capture(plain) if role == "user" else old)
    assert reply(ReplayModel(events, scrubber=own), asked).message.text == "Done."
    with pytest.raises(ReplayMismatch, match="message 0"):
        drain(ReplayModel(events), asked)


def test_what_was_not_kept_is_compared_by_role_and_cannot_be_said() -> None:
    """A run recorded without content checks who speaks; without its reply it cannot be replayed."""
    nothing = Content(size=3, level="none")
    events = with_contents(recorded(["Done."], FIRST), lambda role, old: old if role == "assistant" else nothing)
    assert reply(ReplayModel(events), other(1, user("anything"))).message.text == "Done."
    with pytest.raises(ReplayMismatch, match="was recorded as the user's"):
        drain(ReplayModel(events), other(1, assistant("anything")))
    silent = with_contents(recorded(["Done."], FIRST), lambda _, __: nothing)
    with pytest.raises(ReplayMismatch, match="without its content"):
        drain(ReplayModel(silent), FIRST)


def test_hashes_are_compared_with_the_key_that_made_them() -> None:
    """A run recorded at level `hashed` tells another text from the same one."""
    keyed = Scrubber(level="hashed", key=b"pepper")
    texts = {message.role: msgspec.json.encode(message.plain()).decode() for message in FIRST.messages}
    events = with_contents(
        recorded(["Done."], FIRST), lambda role, old: keyed.capture(texts[role]) if role in texts else old
    )
    assert reply(ReplayModel(events, scrubber=keyed), FIRST).message.text == "Done."
    with pytest.raises(ReplayMismatch, match=r"message 1 \(user\) differs; only its hash is kept"):
        drain(ReplayModel(events, scrubber=keyed), other(1, user("anything")))


def test_a_run_is_replayed_from_a_store(events: list[Event]) -> None:
    """Contents that a store keeps by hash are fetched."""
    store = MemoryStore()
    store.append(batch(events))
    with ReplayModel.of(store, events[0].run) as model:
        assert [reply(model, asked).finish for asked in (FIRST, SECOND)] == ["tool_calls", "length"]


def test_the_run_of_an_agent_is_replayed() -> None:
    """The same tools are called and the same answer is reached; other instructions are noticed, and named."""

    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    def run(model: ScriptedModel | ReplayModel, instructions: str) -> tuple[str, object, str]:
        agent = Agent(name="adder", model=model, tools=[add], instructions=instructions)
        with capture() as events:
            outcome = agent.run_sync("What is 1 and 2?")
        runs.append(list(events))
        return outcome.status, outcome.answer, outcome.detail

    runs: list[list[Event]] = []
    script: list[Answer] = [Call("add", {"a": 1, "b": 2}), Say("It is 3.", chunks=3)]
    assert run(ScriptedModel(script), "Be brief.") == ("completed", "It is 3.", "")
    with ReplayModel(runs[0]) as model:
        assert run(model, "Be brief.") == ("completed", "It is 3.", "")
    assert [type(one.body) for one in runs[1]] == [type(one.body) for one in runs[0]]
    status, answer, detail = run(ReplayModel(runs[0]), "Be long.")
    assert (status, answer, "answer 1: message 0 (system) differs" in detail) == ("failed", None, True)


TEXTS = st.text(max_size=30)
SAYS = st.builds(
    Say,
    TEXTS,
    st.lists(st.builds(Call, st.sampled_from(["f", "g"]), TEXTS), max_size=2).map(tuple),
    st.just(MISSING),
    reasoning=TEXTS,
    chunks=st.integers(1, 4),
)


@given(st.lists(SAYS, min_size=1, max_size=4))
def test_whatever_a_model_says_is_said_again(script: list[Say]) -> None:
    """Record any conversation, replay it: the same messages, pieces aside, and nothing left over."""
    live, requests, replies = ScriptedModel(script, name="m"), list[Request](), list[Reply]()
    messages: tuple[Message, ...] = (user("begin"),)
    for _ in script:
        requests.append(Request(messages=messages))
        replies.append(reply(live, requests[-1]))
        messages = (*messages, replies[-1].message, user("go on"))
    with ReplayModel(recorded(script, *requests)) as model:
        again = [reply(model, request) for request in requests]
    said = [chat.read(one.message.plain()) for one in replies]
    assert [one.message for one in again] == said
    assert [one.finish for one in again] == [one.finish for one in replies]
