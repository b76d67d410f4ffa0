"""Reading a stream of events as a browser does: messages, the last id, and coming back with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx2
import msgspec


class Message(NamedTuple):
    """A message that a browser would hand to its page."""

    id: str
    event: str
    data: Any

    @property
    def place(self) -> tuple[str, int]:
        """Run and seq of the event."""
        return self.data["run"], self.data["seq"]


class Parser:
    """Lines of `text/event-stream` → messages, by the rules of the HTML standard."""

    def __init__(self) -> None:
        self.last_id = ""
        self.comments = 0
        self._event, self._data, self._id = "", "", ""

    def feed(self, lines: Iterable[str]) -> Iterator[Message]:
        """The messages in these lines."""
        for line in lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line == "":
                self.last_id = self._id
                if self._data:
                    yield Message(self._id, self._event or "message", msgspec.json.decode(self._data))
                self._event = self._data = ""
            elif field == "":
                self.comments += 1
            elif field == "id":
                self._id = value
            elif field == "event":
                self._event = value
            elif field == "data":
                self._data += value


@contextmanager
def following(
    base: str, last_id: str = "", headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[tuple[Parser, Iterator[Message]]]:
    """A connection to the live view, once it has said where it begins; its parser, and its messages as they come."""
    parser = Parser()
    said = {**(headers or {}), **({"Last-Event-ID": last_id} if last_id else {})}
    with httpx2.stream("GET", f"{base}/api/live", params=query, headers=said, timeout=20) as response:
        if response.status_code != 200:
            response.read()
            raise httpx2.HTTPStatusError(response.text, request=response.request, response=response)
        lines = response.iter_lines()
        assert list(parser.feed(iter(lambda: next(lines), ""))) == []
        list(parser.feed([""]))
        yield parser, parser.feed(lines)
