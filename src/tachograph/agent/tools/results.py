"""Results that are too large for a transcript are kept beside it, under a handle that the model can expand.

One shelf belongs to one run, or to all runs of a `Chat`. Its memory is bounded: when it is full the oldest results go,
and whoever asks for one of those is told so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from threading import Lock

from tachograph.agent.tools.tool import Tool
from tachograph.errors import ToolError
from tachograph.events.chat import Message, Part, Text

_NOTE = re.compile(
    r"\n\[The result has (\d{1,12}) characters, the first (\d{1,12}) are shown\..*"
    r'handle="(result_(\d{1,9}))", start=\d+\.\]'
)
"""How a cut text ends; see `_note`."""
MOST_KEPT = 20_000_000
"""Characters that a shelf keeps, all results together."""
PIECE = 10_000
MOST_PIECE = 20_000
"""Characters of one call of `expand`: what a model gets when it does not say, and the most it can get."""


class Shelf:
    """The large results of one run or chat. Usable from several threads."""

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._kept: dict[str, str] = {}
        self._shown: dict[str, tuple[str, int]] = {}
        """What a cut text looks like → its handle, and how many characters the whole has."""
        self.failures: set[Message] = set()
        """Results that say what went wrong: they are not cut as early as others."""
        self._size = self._count = 0
        self._lock = Lock()

    def put(self, text: str, most_chars: int) -> str:
        """A text of at most `most_chars` as it is; of a longer one its beginning, its size and its handle.

        What is returned is never longer than `most_chars`, or than the note alone where that is longer.
        """
        if len(text) <= most_chars:
            return text
        with self._lock:
            before = self._shown.get(text)
        handle, size = (self._keep(text), len(text)) if before is None else before
        with self._lock:
            whole = self._kept.get(handle, "")
        shown = max(0, most_chars - len(_note(handle, size, len(whole), most_chars)))
        cut = whole[:shown] + _note(handle, size, len(whole), shown)
        with self._lock:
            self._shown[cut] = handle, size
        return cut

    def fit(self, content: str | tuple[Part, ...], most_chars: int) -> str | tuple[Part, ...]:
        """The same for content that may hold media: its texts share `most_chars`, media are left as they are."""
        if isinstance(content, str):
            return self.put(content, most_chars)
        left = most_chars
        found: list[Part] = []
        for part in content:
            if isinstance(part, Text):
                part = Text(self.put(part.text, max(left, 0)))  # noqa: PLW2901 - the part, as it fits
                left -= len(part.text)
            found.append(part)
        return tuple(found)

    def refill(self, messages: Iterable[Message], texts: Iterable[str]) -> None:
        """Keep what the cut texts of a recorded conversation name, as far as it is among `texts`: whole results.

        What is not there counts as made room for, and its handle is never given again.
        """
        wanted: dict[int, list[tuple[str, str]]] = {}
        for message in messages:
            for text in (message.text,) if message.role == "tool" else ():
                for found in _NOTE.finditer(text):
                    self._count = max(self._count, int(found[4]))
                    wanted.setdefault(int(found[1]), []).append((found[3], text[: min(int(found[2]), found.start())]))
        for whole in texts if wanted else ():
            for handle, shown in wanted.get(len(whole), ()):
                if handle not in self._kept and whole.startswith(shown) and self._size + len(whole) <= self._most_kept:
                    self._kept[handle] = whole
                    self._size += len(whole)

    def get(self, handle: str) -> str:
        """What is kept under a handle: for `ToolContext.expand`. Raises ToolError when it is not there."""
        with self._lock:
            found = self._kept.get(handle)
            known = list(self._kept)
        if found is not None:
            return found
        there = f"Kept are: {', '.join(known[-20:])}." if known else "Nothing is kept."
        if self._was_kept(handle):
            raise ToolError(f"{handle} is no longer kept: it made room for later results. {there}")
        raise ToolError(f"There is no result {handle[:80]!r}. {there}")

    def expand(self, handle: str, start: int = 0, length: int = PIECE) -> str:
        """A piece of a kept result, and where the next one begins. Raises ToolError."""
        text = self.get(handle)
        if start < 0 or length < 1:
            raise ToolError(f"start must be at least 0 and length at least 1, not {start} and {length}.")
        if start >= len(text):
            raise ToolError(f"{handle} has {len(text)} characters; start={start} is behind its end.")
        end = min(start + min(length, MOST_PIECE), len(text))
        more = f"go on with start={end}" if end < len(text) else "this is its end"
        return f"{text[start:end]}\n[{handle}: characters {start} to {end} of {len(text)}; {more}]"

    @property
    def holds(self) -> bool:
        """Whether there is anything to expand."""
        return bool(self._kept)

    def tool(self) -> Tool:
        """`expand(handle, start, length)` for the model."""

        async def expand(handle: str, start: int = 0, length: int = PIECE) -> str:
            """Show more of a tool result that was too long to be shown whole.

            Args:
                handle: The handle that the cut result names, as in "result_1".
                start: Character to begin at; the first one is 0.
                length: How many characters, 20000 at most.
            """
            return self.expand(handle, start, length)

        return Tool.of(expand, classification="read", idempotent=True, most_chars=MOST_PIECE + 500)

    def _keep(self, text: str) -> str:
        """Its handle."""
        text = text[: self._most_kept]
        with self._lock:
            self._count += 1
            handle = f"result_{self._count}"
            self._kept[handle] = text
            self._size += len(text)
            while self._size > self._most_kept:
                oldest = next(iter(self._kept))
                self._size -= len(self._kept.pop(oldest))
                self._shown = {cut: whose for cut, whose in self._shown.items() if whose[0] != oldest}
        return handle

    def _was_kept(self, handle: str) -> bool:
        number = handle.removeprefix("result_")
        return number.isdecimal() and handle == f"result_{(count := int(number[:9]))}" and 1 <= count <= self._count


def _note(handle: str, size: int, kept: int, shown: int) -> str:
    rest = "" if kept == size else f" Only its first {kept} are kept."
    return (
        f"\n[The result has {size} characters, the first {shown} are shown.{rest} "
        f'To read on, call expand with handle="{handle}", start={shown}.]'
    )
