"""Conversations for tests: written by hand, and any that a provider takes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as some

from tachograph.events.chat import Media, Message, ToolUse, assistant, result, user

PICTURE = Media("image", "image/png", data=b"\x89PNG")


def turn(text: str, *results: str, answer: str = "Done.") -> list[Message]:
    """What a person says, one reply with a call for each of the results, and an answer."""
    found = [user(text)]
    for number, said in enumerate(results):
        call = ToolUse(f"call_{text}_{number}", "look")
        found += [assistant("", call), result(call, said)]
    return [*found, assistant(answer)] if answer else found


_TEXTS = some.sampled_from(["", "a", "word " * 20, "line " * 500, "x" * 2500, "é" * 300])
_NAMES = some.sampled_from([None, None, None, "pinned", "ana"])
_RUNTIME = some.sampled_from(["nudge", "gate", "summary", "notice"])


@some.composite
def _replies(draw: Any, number: int) -> list[Message]:
    calls = tuple(ToolUse(f"c{number}_{n}", draw(some.sampled_from(["look", "find"]))) for n in range(draw(_COUNTS)))
    reply = Message("assistant", draw(_TEXTS), calls, name=draw(_NAMES) if not calls else None)
    found = [reply]
    for call in calls:
        media = draw(some.booleans())
        content: Any = [draw(_TEXTS), PICTURE] if media else draw(_TEXTS)
        found.append(result(call, content))
    return found


_COUNTS = some.sampled_from([0, 1, 1, 2, 3])


@some.composite
def conversations(draw: Any) -> tuple[Message, ...]:
    """Any conversation without instructions that a provider takes; every call has its result."""
    found: list[Message] = draw(some.sampled_from([[], [assistant("Hello, I am here.")]]))[:]
    for number in range(draw(some.integers(1, 12))):
        kind = draw(some.sampled_from(["user", "user", "reply", "reply", "reply", "said"]))
        if kind == "reply":
            found += draw(_replies(number))
        elif kind == "user":
            found.append(Message("user", draw(_TEXTS) or "?", name=draw(_NAMES)))
        else:
            found.append(Message("user", draw(_TEXTS), name=draw(_RUNTIME)))
    return tuple(found) if any(one.text.strip() for one in found) else (user("go"),)
