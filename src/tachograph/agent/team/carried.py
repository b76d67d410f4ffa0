"""What a hand-off carries on of a conversation, as it is recorded: what was there by its place, the rest in full.

So the next agent's conversation can be read from the record before its first request, and costs no more than what is
new in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tachograph.events.chat import Message, read

Item = list[int] | dict[str, Any]
"""First place and the one behind the last, of messages that stay; or a message."""


def told(before: Sequence[Message], after: Sequence[Message]) -> list[Item]:
    """How `after` is made of `before`."""
    places = {id(message): place for place, message in enumerate(before)}
    found: list[Item] = []
    for message in after:
        place = places.get(id(message))
        last = found[-1] if found else None
        if place is None:
            found.append(message.plain())
        elif isinstance(last, list) and last[1] == place:
            last[1] = place + 1
        else:
            found.append([place, place + 1])
    return found


def retold(items: Sequence[Item], before: Sequence[Message]) -> tuple[Message, ...]:
    """What was made of `before`. Raises ValueError for what is no message."""
    found: list[Message] = []
    for item in items:
        if isinstance(item, dict):
            found.append(read(item))
        else:
            found += before[item[0] : item[1]]
    return tuple(found)
