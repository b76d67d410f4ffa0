"""A conversation on its way to a smaller one: what stands in it, and where each message came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import Struct, structs

from tachograph.agent.compact.exchanges import NOTICE, STANDING, groups
from tachograph.agent.compact.measure import size
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.tools.results import Shelf
from tachograph.events.chat import Message, Part, Text

Fits = Callable[[int], bool]
"""Whether a conversation of so many bytes is small enough."""


class Draft(Struct, frozen=True):
    """A conversation, and the position that each message had in the one that it was made from; None for a new one."""

    messages: tuple[Message, ...]
    origins: tuple[int | None, ...]

    @staticmethod
    def of(messages: Sequence[Message]) -> Draft:
        """As it was."""
        return Draft(tuple(messages), tuple(range(len(messages))))

    def without(self, places: Collection[int], standing: Message) -> Draft:
        """With one message where the first of these stood, and none of them."""
        gone = set(places)
        first = min(gone)
        kept = [place for place in range(len(self.messages)) if place not in gone or place == first]
        return Draft(
            tuple(standing if place == first else self.messages[place] for place in kept),
            tuple(None if place == first else self.origins[place] for place in kept),
        )

    def archived(self) -> list[tuple[int, int]]:
        """First and last position of each stretch of the conversation before that is not here any more."""
        known = {origin for origin in self.origins if origin is not None}
        # What new messages stand for lies before the last that was kept, or is all there was.
        return _stretches(place for place in range(self._length()) if place not in known)

    def _length(self) -> int:
        return max((origin for origin in self.origins if origin is not None), default=-1) + 1


def prune(draft: Draft, places: Iterable[int], shelf: Shelf, above: int, most: int, *, failures: bool) -> Draft:
    """Results of more than `above` characters give way to their beginning and a handle, `most` characters together.

    Media in them go: they stay in the record. Results that say what went wrong are left alone, unless `failures`.
    """
    messages = list(draft.messages)
    for place in places:
        if failures or messages[place] not in shelf.failures:
            messages[place] = _pruned(messages[place], shelf, above, most)
    return Draft(tuple(messages), draft.origins)


def window(draft: Draft, policy: Compaction, fits: Fits, *, held: int = 0) -> Draft:
    """Without its oldest exchanges, as few of them as have to go; one line says so."""
    gone: list[int] = []
    messages, left = draft.messages, size(draft.messages)
    for group in groups(messages, policy, held=held, dropping=True):
        gone.extend(group.positions)
        left -= size([messages[place] for place in group.positions])
        lost = sum(messages[place].name not in STANDING for place in gone)
        if lost and fits(left + size([notice(lost)])):
            break
    lost = sum(messages[place].name not in STANDING for place in gone)
    return draft.without(gone, notice(lost)) if lost else draft


def notice(count: int) -> Message:
    """Says that so many messages were left out."""
    which = "1 earlier message was" if count == 1 else f"{count} earlier messages were"
    return Message("user", f"[{which} left out here to make room.]", name=NOTICE)


def _pruned(message: Message, shelf: Shelf, above: int, most: int) -> Message:
    text = message.content if isinstance(message.content, str) else "\n".join(map(_spoken, message.content))
    if len(text) <= above and not message.media:
        return message
    return structs.replace(message, content=shelf.put(text, most if len(text) > above else above))


def _spoken(part: Part) -> str:
    return part.text if isinstance(part, Text) else f"[{part.kind} {part.media_type}, left out to make room]"


def _stretches(places: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for place in places:
        if found and found[-1][1] == place - 1:
            found[-1] = found[-1][0], place
        else:
            found.append((place, place))
    return found
