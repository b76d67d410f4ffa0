"""Lines of a Claude Code log → turns: a trigger, and everything up to the next one.

A turn begins with what a person typed (tool results, injected context and local commands are not that), or with a slash
command that a reply follows. The lines of one API message share a message id, wherever they stand, and are one `Reply`:
its blocks in order, its last usage. What stands between turns (output of local commands, a compaction) belongs to the
next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from tachograph.wire.lines import NULL, compose, elements, members, text
from tachograph.wire.sessions.chat import Block
from tachograph.wire.times import nanoseconds

Kind = Literal["prompt", "command", "context", "meta", "summary", "result", "interrupt"]

_COMMANDS = ("<command-name>", "<command-message>", "<task-notification>")
_CONTEXT = ("<local-command-", "<bash-input>", "<bash-stdout>", "<bash-stderr>", "<user-memory-input>", "Caveat: The ")
_INTERRUPTED = "[Request interrupted by user"
_SYNTHETIC = "<synthetic>"


class Said(Struct):
    """`message` of a line."""

    content: Raw = NULL
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: Raw = NULL


class Line(Struct, rename="camel"):
    """The fields of a line that a reader needs; types it does not know have some of them or none."""

    type: str = ""
    subtype: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    agent_id: str | None = None
    timestamp: Any = None
    cwd: str | None = None
    git_branch: str | None = None
    version: str | None = None
    is_sidechain: bool | None = None
    is_meta: bool | None = None
    is_compact_summary: bool | None = None
    is_api_error_message: bool | None = None
    message: Raw = NULL
    tool_use_result: Raw = NULL
    error: Raw = NULL
    retry_attempt: Any = None
    compact_metadata: Raw = NULL
    leaf_uuid: str | None = None
    summary: Raw = NULL
    attachment: Raw = NULL
    parent_tool_use_id: str | None = msgspec.field(default=None, name="parentToolUseID")
    data: Raw = NULL


class Part(Struct):
    """One block of a reply: as it was written, what it says, and when it was logged."""

    raw: Raw
    block: Block
    at: int


class Reply(Struct):
    """One API message."""

    at: int
    parts: list[Part]
    said: Said
    request_id: str | None = None
    repeated: bool = False
    """It was told in an earlier turn already: its usage counts there."""

    @property
    def asks(self) -> bool:
        """Whether it calls a tool."""
        return any(part.block.type == "tool_use" for part in self.parts)


class Heard(Struct):
    """A message that no model wrote."""

    at: int
    kind: Kind
    message: Raw
    blocks: list[Block]
    content: Raw
    line: Line
    number: int


class Failed(Struct):
    """A request that came to nothing: one attempt of several, or the last one."""

    at: int
    error: Raw
    attempt: int | None
    """None for the error that ended the turn."""


class Compacted(Struct):
    """The conversation was replaced by a summary of it."""

    at: int
    data: Raw


class Remark(Struct):
    """Something beside the conversation: the title it was given (`summary`), what was typed while the agent worked."""

    at: int
    name: str
    data: Raw


Item = Reply | Heard | Failed | Compacted | Remark


class Turn:
    """One execution: its trigger (None when the log begins in the middle) and what followed."""

    def __init__(self, number: int, line: Line, at: int, trigger: Heard | None, items: list[Item]) -> None:
        self.number, self.line, self.at, self.trigger, self.items = number, line, at, trigger, items
        self.replies: dict[str, Reply] = {}
        self.agents: dict[str, str] = {}
        """Tool use id → id of the sub-agent that works on it, as far as progress lines tell."""
        self.side: list[tuple[int, Line]] = []
        """Lines of sub-agents that stand in the same file."""

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it."""
        return any(isinstance(item, Heard) and item.kind == "interrupt" for item in self.items)

    @property
    def last(self) -> Item | None:
        """The last thing that says how it stands: a reply, an error, a result, a prompt."""
        return next((item for item in reversed(self.items) if not isinstance(item, Remark | Compacted)), None)

    @property
    def concluded(self) -> bool:
        """Whether its last reply asks for nothing more, or was an error, or the user stopped it."""
        last = self.last
        if isinstance(last, Reply):
            return not last.asks and last.said.stop_reason != "pause_turn"
        if isinstance(last, Heard):
            return last.kind == "interrupt"
        return isinstance(last, Failed) and last.attempt is None


class Turns:
    """Takes lines in, gives turns out when the next one begins."""

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self._between: list[Item] = []
        self._at = 0
        self._uuids: set[str] = set()
        self._told: set[str] = set()

    def feed(self, number: int, line: Line) -> Iterator[Turn]:
        """The turn that this line ends, if it does. Raises DecodeError for a message of no known shape."""
        self._at = nanoseconds(line.timestamp) or self._at
        if line.uuid is not None and line.type in ("user", "assistant"):
            if line.uuid in self._uuids:
                return
            self._uuids.add(line.uuid)
        if line.type == "user":
            yield from self._heard(number, line)
        elif line.type == "assistant":
            yield from self._replied(number, line)
        elif line.type == "system":
            self._noticed(line)
        elif line.type == "progress":
            self._progressed(line)
        elif line.type == "summary" and line.leaf_uuid in self._uuids:
            self._put(Remark(self._at, "summary", line.summary))
        elif line.type == "attachment":
            self._attached(members(line.attachment))

    def close(self) -> Turn | None:
        """The turn that is not over when the log ends."""
        turn, self.turn = self.turn, None
        return turn

    def _heard(self, number: int, line: Line) -> Iterator[Turn]:
        said = _said.decode(line.message)
        blocks = _blocks(said.content)
        heard = Heard(self._at, _kind(line, said.content, blocks), line.message, blocks, said.content, line, number)
        if heard.kind == "prompt":
            yield from self._begin(heard.number, line, heard)
            return
        settled = self.turn is None or self.turn.concluded
        aside = heard.kind == "command" or (settled and heard.kind in ("meta", "context", "summary"))
        if aside or self.turn is None:
            self._between.append(heard)
        else:
            self.turn.items.append(heard)

    def _replied(self, number: int, line: Line) -> Iterator[Turn]:
        said = _said.decode(line.message)
        failed = line.is_api_error_message is True
        if said.model == _SYNTHETIC and not failed:
            return
        if self._between or self.turn is None:
            yield from self._resume(number, line)
        turn = self.turn
        assert turn is not None
        if failed:
            turn.items.append(Failed(self._at, said.content, None))
            return
        parts = [Part(raw, _block.decode(raw), self._at) for raw in _listed(said.content)]
        name = said.id or line.uuid or f"line {number}"
        known = turn.replies.get(name)
        if known is None:
            reply = Reply(self._at, parts, said, line.request_id, name in self._told)
            turn.replies[name] = reply
            turn.items.append(reply)
            self._told.add(name)
            return
        known.parts.extend(parts)
        known.at = max(known.at, self._at)
        known.said = Said(
            said.content,
            known.said.id,
            said.model or known.said.model,
            said.stop_reason or known.said.stop_reason,
            known.said.usage if bytes(said.usage) == b"null" else said.usage,
        )

    def _resume(self, number: int, line: Line) -> Iterator[Turn]:
        """A reply after lines that were nobody's prompt: does it answer a command, or go on with the turn?"""
        command = next((i for i in reversed(self._between) if isinstance(i, Heard) and i.kind == "command"), None)
        turn = self.turn
        if turn is None:
            yield from self._begin(number, line, command)
        elif command is not None and (turn.concluded or _unanswered(turn)):
            yield from self._begin(command.number, command.line, command)
        else:
            turn.items.extend(self._between)
            self._between = []

    def _begin(self, number: int, line: Line, trigger: Heard | None) -> Iterator[Turn]:
        if self.turn is not None:
            yield self.turn
        items, self._between = self._between, []
        if trigger is not None and trigger not in items:
            items.append(trigger)
        start = self._at if trigger is None else trigger.at
        place = number if trigger is None else trigger.number
        self.turn = Turn(place, line if trigger is None else trigger.line, start, trigger, items)

    def _noticed(self, line: Line) -> None:
        if line.subtype == "compact_boundary":
            self._put(Compacted(self._at, line.compact_metadata))
        elif line.subtype == "api_error":
            attempt = line.retry_attempt
            known = type(attempt) is int and 0 < attempt < 1_000
            self._put(Failed(self._at, line.error, attempt if known else 1))

    def _progressed(self, line: Line) -> None:
        if self.turn is None or line.parent_tool_use_id is None:
            return
        agent = _progress.decode(line.data).agentId
        if agent is not None:
            self.turn.agents[line.parent_tool_use_id] = agent

    def _attached(self, attachment: Mapping[str, Raw]) -> None:
        if text(attachment.get("type", NULL)) == "queued_command":
            self._put(Remark(self._at, "queued_prompt", attachment.get("prompt", NULL)))

    def _put(self, item: Item) -> None:
        if self.turn is None or (self.turn.concluded and not isinstance(item, Remark)):
            self._between.append(item)
        else:
            self.turn.items.append(item)


class _Progress(Struct):
    agentId: str | None = None  # noqa: N815 - as it is spelled there


_said = msgspec.json.Decoder(Said)
_block = msgspec.json.Decoder(Block)
_progress = msgspec.json.Decoder(_Progress)
_block_list = msgspec.json.Decoder(list[Block])


def _listed(content: Raw) -> list[Raw]:
    """The blocks of a reply; words alone are one block of text."""
    listed = elements(content)
    if listed is not None:
        return listed
    return [] if text(content) is None else [Raw(compose({"type": b'"text"', "text": content}))]


def _blocks(content: Raw) -> list[Block]:
    return _block_list.decode(content) if bytes(content).startswith(b"[") else []


def opening(content: Raw, blocks: list[Block]) -> str | None:
    """The text that a message begins with; None when it begins with something else."""
    if blocks:
        return text(blocks[0].text) if blocks[0].type == "text" else None
    return text(content)


def _kind(line: Line, content: Raw, blocks: list[Block]) -> Kind:
    if any(block.type == "tool_result" for block in blocks):
        return "result"
    words = opening(content, blocks) or ""
    if words.startswith(_INTERRUPTED):
        return "interrupt"
    if line.is_compact_summary:
        return "summary"
    if line.is_meta:
        return "meta"
    if words.startswith(_COMMANDS):
        return "command"
    return "context" if words.startswith(_CONTEXT) else "prompt"


def _unanswered(turn: Turn) -> bool:
    """Whether a tool that the last reply asked for has no result yet."""
    last = turn.last
    return isinstance(last, Reply) and last.asks
