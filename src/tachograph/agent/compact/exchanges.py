"""What of a conversation may go, and what stays: whole exchanges, and no call without its results.

An exchange begins with what a person says and reaches to the next time they say something. Inside it, a reply and the
results of its calls are one block. Instructions, pinned blocks and what the present exchange asks for always stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct

from tachograph.agent.compact.policy import Compaction
from tachograph.events.chat import Message

SUMMARY: Final = "summary"
NOTICE: Final = "notice"
"""Names of messages that stand for others: a summary of them, and the word that they were left out."""
STANDING = frozenset((SUMMARY, NOTICE))
RUNTIME = STANDING | {"nudge", "correction", "phase", "gate", "resumed"}
"""Names of user messages in which the runtime speaks, and nobody else."""

Kind = Literal["system", "user", "said", "reply"]


class Block(Struct, frozen=True):
    """Messages that stay or go together."""

    start: int
    end: int
    """Position behind the last."""
    kind: Kind
    """user: a person; said: the runtime; reply: the model, and the results of its calls."""
    exchange: int
    """Counted from 1; 0 before anybody has said anything."""


class Group(Struct, frozen=True):
    """What may go of one exchange, or of one reply of the present exchange."""

    positions: tuple[int, ...]
    reach: int
    """How near it is: 0 in an older exchange, 1 in one of those kept while possible, 2 in the present one."""


def blocks(messages: Sequence[Message]) -> list[Block]:
    """A conversation in order, every message in one block."""
    found: list[Block] = []
    exchange = 0
    for place, message in enumerate(messages):
        if message.role == "tool" and found:
            last = found[-1]
            found[-1] = Block(last.start, place + 1, last.kind, last.exchange)
            continue
        kind = _kind(message)
        if kind == "user" and not (found and found[-1].kind == "user"):
            exchange += 1
        found.append(Block(place, place + 1, kind, exchange))
    return found


def groups(messages: Sequence[Message], policy: Compaction, *, held: int = 0, dropping: bool = False) -> list[Group]:
    """What may go, oldest first. The last `held` messages stay.

    `dropping`: it goes without a trace, so what a person said first stays, and so do summaries.
    """
    found = blocks(messages)
    last = found[-1].exchange if found else 0
    stays = _staying(found, messages, policy, len(messages) - held, dropping=dropping)
    older = [block for block in found if block.exchange < last]
    result = [
        Group(positions, 0 if exchange <= last - policy.keep else 1)
        for exchange in range(last)
        if (positions := _positions((block for block in older if block.exchange == exchange), stays))
    ]
    now = _before_the_last_replies([block for block in found if block.exchange == last], policy.rounds)
    return result + [Group(positions, 2) for block in now if (positions := _positions((block,), stays))]


def results(messages: Sequence[Message], policy: Compaction, *, reach: int, held: int = 0) -> list[int]:
    """Positions of tool results that may be cut, as far as `reach` goes; 3: all of them but those that are pinned."""
    if reach < 3:
        near = groups(messages, policy, held=held)
        places = [place for group in near if group.reach <= reach for place in group.positions]
    else:
        pinned = _pinned(blocks(messages), messages, policy)
        places = [place for place in range(len(messages) - held) if place not in pinned]
    return [place for place in places if messages[place].role == "tool"]


def first_of(messages: Sequence[Message]) -> int | None:
    """Where the first thing stands that a person said; None where a summary stands for it, or there is none."""
    for place, message in enumerate(messages):
        kind = _kind(message)
        if kind == "user" or message.name == SUMMARY:
            return place if kind == "user" else None
    return None


def _kind(message: Message) -> Kind:
    if message.role == "system":
        return "system"
    if message.role == "user":
        return "said" if message.name in RUNTIME else "user"
    return "reply"


def _staying(
    found: list[Block], messages: Sequence[Message], policy: Compaction, end: int, *, dropping: bool
) -> set[int]:
    stays = _pinned(found, messages, policy) | set(range(end, len(messages)))
    stays.update(block.start for block in found if block.kind == "system")
    first = first_of(messages)
    if first is not None and (policy.keep_first or dropping or _is_last(first, found)):
        # With what stands before it: a summary in front of it would say that it is a part of that.
        stays.update(range(first + 1))
    if dropping:
        stays.update(place for place, message in enumerate(messages) if message.name == SUMMARY)
    # A block that reaches into what stays must not be cut.
    cut = [block for block in found if stays.intersection(range(block.start, block.end))]
    return stays.union(*(range(block.start, block.end) for block in cut))


def _is_last(first: int, found: list[Block]) -> bool:
    """Whether what a person said first is what they ask for now."""
    return any(block.start == first and block.exchange == found[-1].exchange for block in found)


def _pinned(found: list[Block], messages: Sequence[Message], policy: Compaction) -> set[int]:
    return {
        place
        for block in found
        if any(policy.pins(message) for message in messages[block.start : block.end])
        for place in range(block.start, block.end)
    }


def _before_the_last_replies(present: list[Block], rounds: int) -> Iterator[Block]:
    """Blocks of the present exchange that came before its last replies; what the person asks for is none of them."""
    replies = [place for place, block in enumerate(present) if block.kind == "reply"]
    end = replies[-rounds] if len(replies) > rounds else 0
    return (block for block in present[:end] if block.kind != "user")


def _positions(found: Iterator[Block] | tuple[Block, ...], stays: set[int]) -> tuple[int, ...]:
    return tuple(place for block in found for place in range(block.start, block.end) if place not in stays)
