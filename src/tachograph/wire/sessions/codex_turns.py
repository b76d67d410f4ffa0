"""Lines of a Codex rollout → turns: a user message, and everything up to the next one.

Items that follow each other are one reply of the model, until a tool answers or `token_count` says what it used: its
totals are cumulative, so a reply used what they grew by. The user's message is logged twice, as an event and as the
item the model sees; the item is kept. What stands between turns (context, a compaction) belongs to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import Content
from tachograph.events.run import Failure
from tachograph.events.usage import MISSING, Usage
from tachograph.wire import usage
from tachograph.wire.lines import NULL, compose, elements, encoded, members, present, text, value
from tachograph.wire.sessions.draft import failure
from tachograph.wire.times import nanoseconds

_CONTEXT = ("<user_instructions>", "<environment_context>", "<ENVIRONMENT_CONTEXT>", "<turn_aborted>", "# AGENTS.md")


class Line(Struct):
    """A line in its envelope; a bare one, of old, has no payload and is the item itself."""

    type: str | None = None
    timestamp: Any = None
    payload: Raw = NULL
    id: str | None = None
    record_type: Any = None


class Item(Struct):
    """The fields of all payloads that a reader needs."""

    type: str | None = None
    role: str | None = None
    content: Raw = NULL
    phase: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw = NULL
    input: Raw = NULL
    action: Raw = NULL
    call_id: str | None = None
    output: Raw = NULL
    message: Raw = NULL
    info: Raw = NULL
    reason: str | None = None
    replacement_history: Raw = NULL
    model: str | None = None
    effort: Raw = NULL

    @property
    def asks(self) -> bool:
        """Whether it calls a tool."""
        return self.type is not None and self.type.endswith("_call")

    @property
    def answers(self) -> bool:
        """Whether it is a tool's result."""
        return self.type is not None and self.type.endswith("_output")

    @property
    def words(self) -> str:
        """The text of a message; empty when it has none."""
        plain = text(self.content)
        if plain is not None:
            return plain
        parts = [text(members(raw).get("text", NULL)) for raw in elements(self.content) or ()]
        return "\n".join(part for part in parts if part)

    @property
    def prompts(self) -> bool:
        """Whether a user said it, and not the program in the user's name."""
        return self.type == "message" and self.role == "user" and not self.words.startswith(_CONTEXT)


class Meta(Struct):
    """What the first line says of the session."""

    id: str | None = None
    cwd: str | None = None
    cli_version: str | None = None
    originator: str | None = None
    model_provider: str | None = None
    timestamp: Any = None
    git: Raw = NULL
    base_instructions: Raw = NULL
    instructions: Raw = NULL


class Logged(Struct):
    """An item, as it was written and what it says."""

    at: int
    raw: Raw | bytes
    item: Item


class Reply(Struct):
    """Items of one response of the model."""

    items: list[Logged]
    model: str | None
    effort: Raw
    usage: Usage = MISSING
    closed: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether it asks for nothing and says something that is not on the way to more."""
        last = self.items[-1].item
        return last.type == "message" and last.phase != "commentary" and not any(one.item.asks for one in self.items)


class Turn:
    """One execution: its prompt (None when the log begins in the middle) and what followed."""

    def __init__(self, number: int, at: int, prompt: Content | None, items: list[Reply | Logged]) -> None:
        self.number, self.at, self.prompt, self.items = number, at, prompt, items
        self.over = False
        self.aborted: str | None = None
        self.error: Failure | None = None

    @property
    def reply(self) -> Reply | None:
        """The last reply, when nothing came after it."""
        last = self.items[-1] if self.items else None
        return last if isinstance(last, Reply) else None

    @property
    def concluded(self) -> bool:
        """Whether the log says that it is over, or its last reply is an answer."""
        reply = self.reply
        return self.over or (reply is not None and reply.is_answer)


class Turns:
    """Takes lines in, gives turns out when the next one begins."""

    def __init__(self) -> None:
        self.meta = Meta()
        self.turn: Turn | None = None
        self._between: list[Logged] = []
        self._at = 0
        self._model: str | None = None
        self._effort: Raw = NULL
        self._totals: dict[str, int] = {}

    def feed(self, number: int, line: Line, raw: bytes) -> Iterator[Turn]:
        """The turn that this line ends, if it does. Raises DecodeError for a payload of no known shape."""
        self._at = nanoseconds(line.timestamp) or self._at
        if line.payload is NULL:
            yield from self._bare(number, line, raw)
        elif line.type == "session_meta":
            self._opened(_meta.decode(line.payload))
        elif line.type == "turn_context":
            context = _item.decode(line.payload)
            self._model, self._effort = context.model or self._model, context.effort
        elif line.type == "event_msg":
            yield from self._noticed(number, _item.decode(line.payload))
        elif line.type == "response_item":
            yield from self._logged(number, Logged(self._at, line.payload, _item.decode(line.payload)))
        elif line.type == "compacted":
            item = msgspec.structs.replace(_item.decode(line.payload), type="compacted")
            self._put(Logged(self._at, line.payload, item))

    def close(self) -> Turn | None:
        """The turn that is not over when the log ends."""
        turn, self.turn = self.turn, None
        return turn

    def _bare(self, number: int, line: Line, raw: bytes) -> Iterator[Turn]:
        if line.type is not None:
            yield from self._logged(number, Logged(self._at, raw, _item.decode(raw)))
        elif line.id is not None and line.record_type is None:
            self._opened(_meta.decode(raw))

    def _opened(self, meta: Meta) -> None:
        if self.meta.id is None:
            self.meta = meta
            self._at = self._at or nanoseconds(meta.timestamp) or 0

    def _noticed(self, number: int, item: Item) -> Iterator[Turn]:
        turn = self.turn
        if item.type == "user_message":
            yield from self._prompted(number, item)
        elif item.type == "token_count":
            self._counted(members(item.info).get("total_token_usage", NULL))
        elif turn is None:
            return
        elif item.type in ("task_complete", "turn_complete"):
            turn.over = True
        elif item.type == "turn_aborted":
            turn.over, turn.aborted = True, item.reason or "interrupted"
        elif item.type == "error":
            turn.error = failure("CodexError", text(item.message) or "")

    def _prompted(self, number: int, item: Item) -> Iterator[Turn]:
        said = text(item.message)
        heard: list[Logged] = self._between
        last = self.turn.items[-1] if self.turn is not None and self.turn.items else None
        if self.turn is not None and isinstance(last, Logged) and last.item.prompts and last.item.words == said:
            heard.append(last)  # the item came before the event, while the turn before was not over
            self.turn.items.pop()
        if not any(logged.item.prompts and logged.item.words == said for logged in heard):
            raw = compose({"role": b'"user"', "content": item.message})
            heard.append(Logged(self._at, raw, Item(type="message", role="user", content=item.message)))
        yield from self._begin(number, self._at, present(item.message))

    def _logged(self, number: int, logged: Logged) -> Iterator[Turn]:
        item = logged.item
        if item.type == "message" and item.role in ("user", "developer", "system"):
            self._heard(logged)
        elif item.answers:
            self._put(logged)
        elif item.type != "ghost_snapshot":
            yield from self._replied(number, logged)

    def _heard(self, logged: Logged) -> None:
        turn = self.turn
        if turn is None or turn.concluded:
            self._between.append(logged)
        elif not _repeats(turn, logged):
            turn.items.append(logged)

    def _replied(self, number: int, logged: Logged) -> Iterator[Turn]:
        prompt = next((heard for heard in reversed(self._between) if heard.item.prompts), None)
        if prompt is not None and (self.turn is None or self.turn.concluded):
            yield from self._begin(number, prompt.at, encoded(prompt.item.words))
        elif self.turn is None:
            yield from self._begin(number, logged.at, None)
        turn = self.turn
        assert turn is not None
        turn.items.extend(self._between)
        self._between = []
        reply = turn.reply
        if reply is None or reply.closed:
            reply = Reply([], self._model, self._effort)
            turn.items.append(reply)
        reply.items.append(logged)

    def _begin(self, number: int, at: int, prompt: Content | None) -> Iterator[Turn]:
        if self.turn is not None:
            yield self.turn
        items, self._between = self._between, []
        self.turn = Turn(number, at, prompt, list(items))

    def _counted(self, totals: Raw) -> None:
        found = value(totals)
        counts = {key: count for key, count in found.items() if type(count) is int} if isinstance(found, dict) else {}
        if not counts or counts == self._totals:
            return
        grown = {key: count - self._totals.get(key, 0) for key, count in counts.items()}
        used = counts if any(more < 0 for more in grown.values()) else grown
        self._totals = counts
        replies = [item for item in self.turn.items if isinstance(item, Reply)] if self.turn is not None else []
        if replies and not replies[-1].closed:
            replies[-1].usage = usage.read(used, "openai.responses")
            replies[-1].closed = True

    def _put(self, logged: Logged) -> None:
        if self.turn is None or (self.turn.concluded and not logged.item.answers):
            self._between.append(logged)
        else:
            self.turn.items.append(logged)


_item = msgspec.json.Decoder(Item)
_meta = msgspec.json.Decoder(Meta)


def _repeats(turn: Turn, logged: Logged) -> bool:
    """The prompt as the model saw it, after the event that told it: takes the place of what the event said."""
    for place, item in enumerate(turn.items):
        if isinstance(item, Reply):
            return False
        if item.item.prompts and item.item.words == logged.item.words:
            turn.items[place] = logged
            return True
    return False
