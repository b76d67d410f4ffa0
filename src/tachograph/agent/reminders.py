"""Reminders: what a model is told at the tail of one request, and never again.

A reminder is no message of the conversation, so what stands before it is the same in every request, and a provider's
cache of it holds. Which reminders are due is a function of the conversation and of what was said before; whether a tool
was used is known by the calls in the conversation, never by a word in some text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from tachograph.agent.hooks import Moment
from tachograph.errors import SettingsError
from tachograph.events.chat import Message, Part, Text, user

OPENING, CLOSING = "<system-reminder>", "</system-reminder>"
_TAG = re.compile(f"{OPENING}|{CLOSING}")

REMINDED = "reminded"
"""Note with a `Reminding`: what was said so far."""
Words = str | Callable[[Moment], str | None]


@dataclass(frozen=True)
class Reminder:
    """One thing to remind a model of, and when.

        Reminder("Answer in French.", first=True)                       # the first request of a conversation
        Reminder("Keep your list up to date.", every=8, tool="todo")    # 8 messages after `todo` was last used
        Reminder("Read before you write.", tool="write")                # the request after a use of `write`
        Reminder(lambda now: "Be brief." if now.iteration > 9 else None)

    The conditions that are named must all hold; without one it is due at every request. A function is asked when they
    hold, on the event loop, and None or an empty text says nothing. Raises SettingsError.
    """

    text: Words
    first: bool = False
    """Only at the first request of a conversation."""
    every: int | None = None
    """Only so many messages after it was last given; with `tool` also that many after the tool was last called."""
    tool: str | None = None
    """The tool it is about: only while that is offered. Alone, without `first` and `every`: only after a call of it."""
    most: int | None = None
    """Given so often at most."""
    name: str = ""
    """What its count is kept by; the text, or the function's name, when empty."""

    def __post_init__(self) -> None:
        if not (isinstance(self.text, str) or callable(self.text)):
            raise SettingsError("reminder", self.text, "a text, or a function that gives one")
        for name, figure in (("every", self.every), ("most", self.most)):
            if figure is not None and figure < 1:
                raise SettingsError(name, figure, "a number from 1 on, or None")

    @property
    def key(self) -> str:
        """What its count is kept by."""
        if self.name or isinstance(self.text, str):
            return self.name or str(self.text)
        return getattr(self.text, "__qualname__", type(self.text).__name__)


class Given(Struct, frozen=True):
    """How often a reminder was given, and how long the conversation was the last time."""

    times: int = 0
    at: int = 0


class Reminding(Struct, frozen=True):
    """What was said so far; the state between one request and the next."""

    seen: int = 0
    """Messages of the conversation at the last request."""
    given: Mapping[str, Given] = {}
    """Reminder's key → when it was given."""
    problems: tuple[str, ...] = ()
    """What the functions of the last request raised; their reminders are left out."""


def due(reminders: Iterable[Reminder], state: Reminding, moment: Moment) -> tuple[tuple[str, ...], Reminding]:
    """The texts for the next request, in the order of the reminders, and the state after it.

    Of `moment` count the messages, `first`, `iteration` and `tools`. Ask once a request, not again when it is repeated.
    """
    length = len(moment.messages)
    if length < state.seen:  # the conversation was cleared or cut: what is counted in messages begins anew
        kept = {key: Given(given.times) for key, given in state.given.items()}
        state = Reminding(length, kept)
    given, texts, problems = dict(state.given), [], []
    for key, reminder in _named(reminders):
        before = given.get(key, Given())
        if not _is_due(reminder, before, state.seen, moment):
            continue
        try:
            text = reminder.text if isinstance(reminder.text, str) else reminder.text(moment)
            if text:
                texts.append(_checked(text))
                given[key] = Given(before.times + 1, length)
        except Exception as problem:  # noqa: BLE001 - somebody else's function; the caller records what it raised
            problems.append(f"{key}: {type(problem).__name__}: {problem}")
    return tuple(texts), Reminding(length, given, tuple(problems))


def _named(reminders: Iterable[Reminder]) -> Iterable[tuple[str, Reminder]]:
    """Two reminders of one name each keep a count of their own."""
    seen: dict[str, int] = {}
    for reminder in reminders:
        seen[reminder.key] = number = seen.get(reminder.key, 0) + 1
        yield (reminder.key if number == 1 else f"{reminder.key}#{number}"), reminder


def _is_due(reminder: Reminder, given: Given, seen: int, moment: Moment) -> bool:
    if reminder.most is not None and given.times >= reminder.most:
        return False
    if reminder.first and not (moment.first and moment.iteration <= 1):
        return False
    tool, messages = reminder.tool, moment.messages
    if tool is not None and moment.tools is not None and tool not in moment.tools:
        return False
    if reminder.every is not None:
        last = max(given.at, 0 if tool is None else _last_call(messages, tool))
        return len(messages) - last >= reminder.every
    return tool is None or reminder.first or _last_call(messages, tool, seen) >= 0


def _last_call(messages: Sequence[Message], tool: str, start: int = 0) -> int:
    """Position of the last message from `start` on that calls a tool; -1 when none does."""
    for position in range(len(messages) - 1, start - 1, -1):
        if any(call.name == tool for call in messages[position].tool_calls):
            return position
    return -1


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a reminder is a text, not {type(text).__name__}")
    return text


# ---- tags ---------------------------------------------------------------------------------------------------------


def wrap(text: str) -> str:
    """A text as a reminder. Tags inside lose their brackets, so that they cannot end it; a whole reminder stays."""
    text = text.strip()
    if strip(text) == ("", (text[len(OPENING) : -len(CLOSING)].strip(),)):
        return text
    quoted = _TAG.sub(lambda tag: f"&lt;{tag[0][1:-1]}&gt;", text)
    return f"{OPENING}\n{quoted}\n{CLOSING}"


def tail(texts: Iterable[str]) -> Message:
    """The message that brings reminders."""
    return user("\n\n".join(map(wrap, texts)))


def strip(text: str) -> tuple[str, tuple[str, ...]]:
    """A text without the reminders in it, and what they say. A tag without its partner is text like any other."""
    blocks = _blocks(text)
    if not blocks:
        return text, ()
    ends = (0, *(end for _, end in blocks))
    starts = (*(start for start, _ in blocks), len(text))
    gaps = [piece for piece in (text[end:start].strip() for end, start in zip(ends, starts, strict=True)) if piece]
    inside = tuple(text[start + len(OPENING) : end - len(CLOSING)].strip() for start, end in blocks)
    return "\n\n".join(gaps), inside


def cleaned(message: Message) -> tuple[Message, tuple[str, ...]]:
    """A user message without the reminders in it; media stay. Others are left alone: they may quote such tags."""
    if message.role != "user":
        return message, ()
    if isinstance(message.content, str):
        said, found = strip(message.content)
        return (msgspec.structs.replace(message, content=said), found) if found else (message, ())
    parts: list[Part] = []
    reminders: list[str] = []
    for part in message.content:
        said, found = strip(part.text) if isinstance(part, Text) else ("", ())
        reminders += found
        if not found:
            parts.append(part)
        elif said:
            parts.append(Text(said))
    return (msgspec.structs.replace(message, content=tuple(parts)), tuple(reminders)) if reminders else (message, ())


def _blocks(text: str) -> list[tuple[int, int]]:
    """Start and end of each outermost pair of tags."""
    blocks: list[tuple[int, int]] = []
    opened: list[int] = []
    for tag in _TAG.finditer(text):
        if tag[0] == OPENING:
            opened.append(tag.start())
        elif opened:
            start = opened.pop()
            while blocks and blocks[-1][0] > start:
                blocks.pop()
            blocks.append((start, tag.end()))
    return blocks
