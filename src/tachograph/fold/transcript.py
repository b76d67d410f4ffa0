"""Transcripts: the tree of messages of a run, and what makes a path through it fit to send.

`Transcripts` collects `MessageAppended` events: each message names the one before it, so a transcript is the path from
the root to a node, and its hash names that whole path. What the messages say is read only when asked for, through a
`Fetch` for those kept by hash. Pairing is by id where there is one, else by name, and always in order, for models
repeat ids and some providers give none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tachograph.events.content import Content, digest
from tachograph.events.envelope import Event
from tachograph.events.message import ROOT, MessageAppended, node_hash
from tachograph.fold.asks import Answer, Ask, answers, asks

Fetch = Callable[[Sequence[bytes]], Mapping[bytes, bytes]]
"""Hashes → the bytes behind those that are stored: `Blobs.fetch` of any store."""


class Message(Struct, frozen=True):
    """One message of a transcript."""

    node: int
    """Seq of its event."""
    role: str
    content: Content
    parent: int | None = None
    ephemeral: bool = False
    orphan: bool = False
    """The message it names as the one before it is not there; it stands as a first message."""
    hash: bytes | None = None
    """Node hash of the path that ends here; None when content on the path was not kept, not even its hash."""


class Link(Struct, frozen=True):
    """A tool call and where its result stands; positions count messages of one transcript from 0."""

    ask: Ask
    asked: int
    answered: int | None = None


class Fault(Struct, frozen=True):
    """What would make a provider refuse a transcript."""

    kind: Literal["result_without_call", "call_without_result"]
    position: int
    id: str | None
    name: str | None


class Transcripts:
    """The message tree of one run. Grows as events come; all other events pass by."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        """Every message by its node."""
        self._followed: set[int] = set()

    def apply(self, event: Event) -> bool:
        """Take in one event; False when it is no message, or one seen before."""
        body = event.body
        if not isinstance(body, MessageAppended) or event.seq in self.messages:
            return False
        before = None if body.parent is None else self.messages.get(body.parent)
        self.messages[event.seq] = Message(
            event.seq, body.role, body.message, None if before is None else before.node, body.ephemeral,
            orphan=before is None and body.parent is not None, hash=_path_hash(before, body),
        )  # fmt: skip
        if before is not None and not body.ephemeral:
            self._followed.add(before.node)
        return True

    @property
    def tips(self) -> tuple[int, ...]:
        """Nodes that no message follows yet, oldest first: where each conversation stands. Ephemeral ones are none."""
        return tuple(
            node for node, message in self.messages.items() if not message.ephemeral and node not in self._followed
        )

    def path(self, node: int | None) -> list[Message]:
        """Messages from the first to `node`; empty for None. Raises KeyError for a node that is not there."""
        found = []
        while node is not None:
            message = self.messages[node]
            found.append(message)
            node = message.parent
        return found[::-1]


def collect(events: Iterable[Event]) -> Transcripts:
    """The message tree of one run from its events."""
    transcripts = Transcripts()
    for event in events:
        transcripts.apply(event)
    return transcripts


def text_of(content: Content, fetch: Fetch | None) -> str | bytes | None:
    """The JSON text of one content, inline or fetched; None when it was not kept, or cannot be found."""
    if content.text is not None or content.hash is None or fetch is None:
        return content.text
    name = bytes.fromhex(content.hash)
    return fetch([name]).get(name)


def read(path: Iterable[Message], fetch: Fetch | None = None) -> list[Any]:
    """The messages' JSON values, in order; None for one whose content was not kept, cannot be found, or is not JSON.

    One call of `fetch` gets everything that is not inline.
    """
    contents = [message.content for message in path]
    wanted = {content.hash for content in contents if content.text is None and content.hash is not None}
    found = fetch([bytes.fromhex(name) for name in wanted]) if wanted and fetch is not None else {}
    return [_value(content, found) for content in contents]


def links(messages: Sequence[Any]) -> tuple[list[Link], list[tuple[int, Answer]]]:
    """Tool calls of a transcript with the positions of their results, and the results that answer no call.

    A result answers the oldest open call with its id, else the oldest of its name that has no id; a result without an
    id answers the oldest of its name, without a name the oldest. Time grows with the number of messages.
    """
    found: list[Link] = []
    unasked: list[tuple[int, Answer]] = []
    waiting = _Waiting()
    for position, message in enumerate(messages):
        for ask in asks(message):
            waiting.add(len(found), ask)
            found.append(Link(ask, position))
        for answer in answers(message):
            index = waiting.take(answer)
            if index is None:
                unasked.append((position, answer))
            else:
                found[index] = Link(found[index].ask, found[index].asked, position)
    return found, unasked


def open_calls(messages: Sequence[Any]) -> list[Link]:
    """Tool calls whose result is not there yet, oldest first."""
    return [link for link in links(messages)[0] if link.answered is None]


def faults(messages: Sequence[Any]) -> list[Fault]:
    """Why this transcript must not go out as a request, in order of position; empty when it may.

    A message that could not be read (None) may hold any call or result: nothing is held against its neighbours.
    """
    found, unasked = links(messages)
    unread = [position for position, message in enumerate(messages) if message is None]
    first, last = (unread[0], unread[-1]) if unread else (len(messages), -1)
    broken = [
        Fault("result_without_call", position, answer.id, answer.name)
        for position, answer in unasked
        if position < first
    ]
    broken.extend(
        Fault("call_without_result", link.asked, link.ask.id, link.ask.name)
        for link in found
        if link.answered is None and link.asked > last
    )
    return sorted(broken, key=lambda fault: fault.position)


def cuts(messages: Sequence[Any]) -> list[int]:
    """Positions from 0 to the length at which a transcript may be cut into `[:cut]` and `[cut:]`.

    No cut stands between a call and its result. A call that is still open forbids every cut after it, for its result
    will come; nor is a reasoning item cut off from what it led to.
    """
    count = len(messages)
    crossing = [0] * (count + 2)
    spans = [(link.asked, count + 1 if link.answered is None else link.answered + 1) for link in links(messages)[0]]
    spans += [(position, position + 2) for position, message in enumerate(messages) if _leads_on(message)]
    for first, beyond in spans:
        crossing[first + 1] += 1
        crossing[min(beyond, count + 1)] -= 1
    return [cut for cut, depth in enumerate(_running(crossing[: count + 1])) if depth == 0]


def _path_hash(before: Message | None, body: MessageAppended) -> bytes | None:
    content = body.message
    if content.hash is not None:
        name = bytes.fromhex(content.hash)
    elif content.text is not None:
        name = digest(content.text.encode())
    else:
        return None
    above = ROOT if before is None else before.hash
    return None if above is None else node_hash(above, name)


def _value(content: Content, found: Mapping[bytes, bytes]) -> Any:
    text: str | bytes | None = content.text
    if text is None and content.hash is not None:
        text = found.get(bytes.fromhex(content.hash))
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


class _Waiting:
    """The calls that have no result yet, in the order they were asked for, under every key a result may have."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._queues: dict[tuple[str, str | None], deque[int]] = {}

    def add(self, index: int, ask: Ask) -> None:
        """One more call."""
        self._open.add(index)
        keys = [("name", ask.name), ("any", None)]
        keys += [("id", ask.id)] if ask.id is not None else [("no id, name", ask.name), ("no id", None)]
        for key in keys:
            self._queues.setdefault(key, deque()).append(index)

    def take(self, answer: Answer) -> int | None:
        """The call this result answers, which then waits no more; None when there is none."""
        if answer.id is not None:
            index = self._oldest(("id", answer.id))
            if index is None:
                index = self._oldest_named("no id, name", answer.name, "no id")
        else:
            index = self._oldest_named("name", answer.name, "any")
        if index is not None:
            self._open.discard(index)
        return index

    def _oldest_named(self, kind: str, name: str | None, whatever: str) -> int | None:
        """The oldest call of that name or without one; for a result without a name the oldest of all."""
        keys = [(kind, name), (kind, None)] if name is not None else [(whatever, None)]
        return min((index for key in keys if (index := self._oldest(key)) is not None), default=None)

    def _oldest(self, key: tuple[str, str | None]) -> int | None:
        queue = self._queues.get(key, deque())
        while queue and queue[0] not in self._open:
            queue.popleft()
        return queue[0] if queue else None


def _leads_on(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("type") == "reasoning"


def _running(steps: Iterable[int]) -> Iterator[int]:
    depth = 0
    for step in steps:
        depth += step
        yield depth
