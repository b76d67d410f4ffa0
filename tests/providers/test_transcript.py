"""Messages to the library and replies back: nothing is lost, and what is not ours to change stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace as with_fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from pydantic_ai import messages as library

from tachograph.events.chat import Media, Message, ToolUse, assistant, read, result, system, user
from tachograph.providers.config import Api
from tachograph.providers.faults import Incomplete
from tachograph.providers.transcript import Transcript, arguments_of


def transcript(api: Api = "chat", provider: str = "openai") -> Transcript:
    """The two directions for one provider."""
    return Transcript(library, provider, api, provider)


def plain(messages: list[Any]) -> Any:
    """The library's messages as JSON values, without what differs from run to run."""
    found = library.ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    for message in found:
        message.pop("timestamp", None)
        for part in message["parts"]:
            part.pop("timestamp", None)
    return found


def kinds(messages: list[Any]) -> list[list[str]]:
    """What each message is made of."""
    return [[part.part_kind for part in message.parts] for message in messages]


CALL = ToolUse("t1", "lookup", '{"key": "x"}')


def test_messages_are_grouped_as_the_library_wants_them() -> None:
    """All that stands between two replies is one request; a result knows the tool of its call."""
    unnamed = Message("tool", "found", tool_call_id="t1")
    given_ = transcript().given([system("S"), user("a"), assistant("b", CALL), unnamed, user("c")])
    assert kinds(given_) == [["system-prompt", "user-prompt"], ["text", "tool-call"], ["tool-return", "user-prompt"]]
    answer = given_[2].parts[0]
    assert (answer.tool_name, answer.tool_call_id, answer.content) == ("lookup", "t1", "found")
    assert transcript().given([]) == []


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic", "google"])
def test_instructions_in_the_middle_do_not_move_to_the_front(api: Api) -> None:
    """Where a wire has no place for them they are a user's message in a frame: what was cached stays as it was."""
    given_ = transcript(api).given([system("S"), user("a"), system("T")])
    last = given_[0].parts[-1]
    if api in ("chat", "responses"):
        assert (last.part_kind, last.content) == ("system-prompt", "T")
    else:
        assert (last.part_kind, last.content) == ("user-prompt", "<system>\nT\n</system>")


def test_media_go_as_bytes_or_as_a_url() -> None:
    """Bytes, a data URL, or a URL that the provider fetches itself."""
    image = Media("image", "image/png", data=b"\x89PNG")
    [sent] = transcript().given([user(["see", image, Media("image", "image/*", "https://x.test/a.png")])])
    text, held, linked = sent.parts[0].content
    assert (text, held.data, held.media_type, linked.url) == ("see", b"\x89PNG", "image/png", "https://x.test/a.png")
    [sent] = transcript().given([user([Media("image", "image/*", image.address)])])
    assert (sent.parts[0].content[0].data, sent.parts[0].content[0].media_type) == (b"\x89PNG", "image/png")
    with pytest.raises(Incomplete, match="openai takes no URL of video media: give its bytes"):
        transcript().given([user([Media("video", "video/mp4", "https://x.test/a.mp4")])])


def test_cache_points_are_for_anthropic() -> None:
    """After the message that is marked, of whatever role; on other wires they would change what is sent."""
    messages = [
        Message("user", "a", cache=True),
        Message("assistant", "b", (CALL,), cache=True),
        Message("tool", "c", tool_call_id="t1", cache=True),
    ]
    given_ = transcript("anthropic").given(messages)
    assert given_[0].parts[0].content == ["a", library.CachePoint()]
    assert kinds(given_)[2] == ["user-prompt", "tool-return", "user-prompt"]
    assert given_[2].parts[0].content == given_[2].parts[2].content == [library.CachePoint()]
    assert kinds(transcript("chat").given(messages)) == [["user-prompt"], ["text", "tool-call"], ["tool-return"]]


def response(*parts: Any, **changes: Any) -> Any:
    """A reply of the library's."""
    return library.ModelResponse(parts=list(parts), provider_name="openai", **changes)


def test_a_plain_reply_has_no_state() -> None:
    """Text and tool calls say everything themselves."""
    said = transcript().taken(response(library.TextPart("Hello"), library.ToolCallPart("lookup", '{"key":', "t1")))
    assert said == Message("assistant", "Hello", (ToolUse("t1", "lookup", '{"key":'),))


def test_a_refusal_is_what_was_said() -> None:
    """The library keeps its text apart."""
    assert transcript().taken(response(provider_details={"refusal": "No."})).text == "No."


def test_a_picture_in_a_reply_is_media() -> None:
    """Text first, then what was made."""
    picture = library.FilePart(library.BinaryContent(b"\x89PNG", media_type="image/png"))
    said = transcript().taken(response(library.TextPart("See"), picture))
    assert (said.text, said.media) == ("See", (Media("image", "image/png", data=b"\x89PNG"),))


TEXTS = st.text(max_size=12)
NOT_EMPTY = st.text(min_size=1, max_size=12)
PARTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        library.TextPart, NOT_EMPTY, id=st.none() | st.just("msg_1"), provider_name=st.just("openai"),
        provider_details=st.none() | st.just({"phase": "commentary"}),
    ),
    st.builds(
        library.ThinkingPart, TEXTS, id=st.none() | st.just("rs_1"), signature=st.none() | st.just("SIG=="),
        provider_name=st.just("openai"), provider_details=st.none() | st.just({"raw": ["x"]}),
    ),
    st.builds(
        library.ToolCallPart, st.just("lookup"), st.sampled_from(['{"a": 1}', "{}", '{"half']), NOT_EMPTY,
        id=st.none() | st.just("fc_1"), provider_name=st.just("openai"),
        provider_details=st.none() | st.just({"thought_signature": "c2ln"}),
    ),
    st.builds(
        library.NativeToolCallPart, st.just("web_search"), st.just({"q": "x"}), st.just("n1"),
        provider_name=st.just("openai"),
    ),
)  # fmt: skip


@given(st.lists(PARTS, max_size=6))
def test_a_reply_goes_back_as_it_came(parts: list[Any]) -> None:
    """Through the recorded form and back, every part with its signature, id and details."""
    came = response(*parts, provider_response_id="r1", canonical_system="openai", model_name="m-1")
    said = transcript("responses").taken(came)
    again = read(json.loads(json.dumps(said.plain())))
    assert again == said
    [sent] = transcript("responses").given([again]) if said.provider_state else [came]
    assert plain([sent])[0]["parts"] == plain([came])[0]["parts"]
    assert sent.canonical_system == came.canonical_system


THOUGHT = response(
    library.ThinkingPart("Hmm.", signature="SIG", provider_name="openai"),
    library.TextPart("Yes"),
    library.ToolCallPart("lookup", "{}", "t1"),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"content": "Yes, and more"},
        {"content": ""},
        {"tool_calls": ()},
        {"reasoning": ""},
        {"provider_state": "{"},
        {"provider_state": "[]"},
        {"provider_state": "{}"},
        {"provider_state": '{"by": "anthropic", "api": "responses", "parts": []}'},
        {"provider_state": '{"by": "openai", "api": "responses", "parts": [{}]}'},
        {
            "provider_state": '{"by": "openai", "api": "responses", "parts": [{"part_kind": "x"}]}',
            "content": "",
            "reasoning": "",
            "tool_calls": (),
        },
    ],
    ids=[
        "longer",
        "shorter",
        "no call",
        "no thought",
        "broken",
        "list",
        "empty",
        "another's",
        "no kind",
        "no such kind",
    ],
)
def test_state_that_does_not_fit_is_left_out(changes: dict[str, Any]) -> None:
    """A message that was changed, or is another provider's, goes as its text and its calls say."""
    said = structs.replace(transcript("responses").taken(THOUGHT), **changes)
    [sent] = transcript("responses").given([said])
    assert [part.part_kind for part in sent.parts if part.part_kind == "thinking"] == []
    assert "".join(part.content for part in sent.parts if part.part_kind == "text") == said.text
    assert [part.tool_call_id for part in sent.parts if part.part_kind == "tool-call"] == [
        call.id for call in said.tool_calls
    ]


def test_another_provider_gets_no_state() -> None:
    """Neither signatures nor thinking."""
    said = transcript("responses").taken(THOUGHT)
    for other in (transcript("responses", "x-ai"), transcript("chat")):
        [sent] = other.given([said])
        assert [part.part_kind for part in sent.parts] == ["text", "tool-call"]


def test_the_state_does_not_repeat_what_the_message_says() -> None:
    """Of a long text it holds the length."""
    long = "word " * 1000
    said = transcript("responses").taken(
        with_fields(THOUGHT, parts=[library.TextPart(long, id="m", provider_name="openai")])
    )
    assert said.provider_state is not None
    assert len(said.provider_state) < 200


def test_arguments_stay_as_they_were_written() -> None:
    """Text as it is, however malformed; a value as compact JSON."""
    assert [arguments_of(given_) for given_ in ('{"a": ', {"a": "ü", "b": [1]}, None, "")] == [
        '{"a": ', '{"a":"ü","b":[1]}', "", "",
    ]  # fmt: skip
    [sent] = transcript().given([result(CALL, "r")])
    assert sent.parts[0].tool_name == "lookup"
