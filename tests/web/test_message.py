from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.web.message import arguments, beginning, decoded, parts, pretty


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": "hello"}, [("text", "hello")]),
        ("bare", [("text", "bare")]),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
         [("text", "a"), ("text", "b")]),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]},
         [("thinking", "hm"), ("text", "so")]),
        ({"role": "assistant", "reasoning_content": "hm", "content": "so"}, [("thinking", "hm"), ("text", "so")]),
        ({"role": "assistant", "content": None, "refusal": "no"}, [("refusal", "no")]),
        ({"role": "assistant", "content": None,
          "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
         [("ask", '{"a":1}')]),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
         [("ask", '{"a":1}')]),
        ({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}, [("ask", '{"a":1}')]),
        ({"role": "user", "content": {"strange": True}}, [("json", '{"strange":true}')]),
        ({"role": "user", "content": ""}, []),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, [("thinking", "hm")]),
    ],
)  # fmt: skip
def test_the_parts_of_a_message(message: Any, expected: list[tuple[str, str]]) -> None:
    """The shapes of providers come apart alike; what has none of them is the JSON that it is."""
    assert [(part.kind, part.text) for part in parts(message)] == expected


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "c", "content": "found"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "found"}]},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "found"}]}}]},
    ],
)
def test_a_result_holds_what_the_tool_said(message: Any) -> None:
    """Whatever wraps it, the result has the id of its call and the text inside."""
    [part] = parts(message)
    assert (part.kind, part.id, [inner.text for inner in part.parts]) == ("result", "c", ["found"])


def test_a_result_can_say_that_the_tool_failed() -> None:
    """The provider's mark is seen."""
    [part] = parts({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "is_error": True}]})
    assert part.failed


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4096}},
         "image/png, 3 KiB"),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "image, at https://example.org/a.png"),
        ({"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA"}}, "image/gif, 3 B"),
        ({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}, "audio/wav, 3 B"),
    ],
)  # fmt: skip
def test_media_is_named_and_never_shown(part: Any, name: str) -> None:
    """Its type and its size stand for it, and where it is; no byte of it is on the page."""
    [found] = parts({"role": "user", "content": [part]})
    assert (found.kind, found.name, found.text) == ("media", name, "")


def test_values_are_written_on_lines() -> None:
    """Short JSON stands on one line, long JSON on several; text is left as it is, and text that is JSON is laid out."""
    assert pretty({"a": 1}) == '{"a":1}'
    assert pretty({"a": "x" * 80}).splitlines()[0] == "{"
    assert pretty('{"b": 2}') == '{"b":2}'
    assert (pretty("no { json"), pretty("12"), pretty(None)) == ("no { json", "12", "")


def test_arguments_of_several_lines_can_be_read() -> None:
    """A text stands below its name, further in than any name; without such a text it is JSON."""
    shown = arguments('{"path":"a.py","a b":[1],"text":"one\\npath: \\"b.py\\""}')
    assert shown.splitlines() == ['path: "a.py"', '"a b": [1]', "text: |", "    one", '    path: "b.py"']
    assert (arguments('{"path":"a.py"}'), arguments("broken {"), arguments(None)) == ('{"path":"a.py"}', "broken {", "")


@pytest.mark.parametrize("around", [("[", "]"), ('[{"type":"tool_result","tool_use_id":"x","content":', "}]")])
@pytest.mark.parametrize("depth", [2, 40, 450])
def test_nesting_breaks_nothing(around: tuple[str, str], depth: int) -> None:
    """A result inside a result is what the tool said, as JSON; what is nested too deeply is said to be."""
    content = msgspec.json.decode(around[0] * depth + '"x"' + around[1] * depth)
    found = parts({"role": "user", "content": content})
    assert found
    assert all(inner.kind != "result" for part in found for inner in part.parts)


def test_a_long_text_has_a_beginning() -> None:
    """So many characters and lines; what is only a little longer stays whole."""
    assert beginning("x" * 110, 100, 5) == "x" * 110
    assert beginning("x" * 200, 100, 5) == "x" * 100
    assert beginning("a\n" * 40, 100, 5) == "a\na\na\na\na"


def test_a_text_that_is_no_json_is_itself() -> None:
    """A message is shown whatever it is."""
    assert (decoded('{"a":1}'), decoded("{a"), decoded(None)) == ({"a": 1}, "{a", None)
