"""A list as a browser gets it: its rows, its form, where it leads."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from tachograph.events.limit import LimitHit
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000


class Listed(HTMLParser):
    """The parts of a page that tests ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.rows: list[str] = []
        """Where each row leads."""
        self.fields: dict[str, str] = {}
        """The form's fields with their values; '' for a choice that is not made."""
        self.pages: dict[str, str] = {}
        """What other pages of the list are called, and their addresses."""
        self.chips: dict[str, str] = {}
        """What the chips say, and where they lead."""
        self.attributes: dict[str, str] = {}
        """Those for scripts, wherever they stand."""
        self._choice = self._link = self._said = ""
        self._keep: dict[str, str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element says."""
        has = {name: value or "" for name, value in attrs}
        self.attributes.update({name: value for name, value in has.items() if name.startswith("data-")})
        if tag == "a":
            self._link, self._said = has["href"], ""
            self._keep = self.pages if "rel" in has else self.chips if "aria-label" in has else None
            if "data-row" in has:
                self.rows.append(self._link)
        elif tag == "select":
            self._choice = has["name"]
            self.fields[self._choice] = ""
        elif tag == "option" and "selected" in has:
            self.fields[self._choice] = has["value"]
        elif tag == "input" and has.get("type") not in {"radio", "hidden"}:
            self.fields[has["name"]] = has["value"] if has["type"] != "checkbox" or "checked" in has else ""

    def handle_data(self, data: str) -> None:
        """Collect the text of a link."""
        self._said += data

    def handle_endtag(self, tag: str) -> None:
        """A link is over."""
        if tag == "a" and self._keep is not None:
            self._keep[" ".join(self._said.split())] = self._link
            self._keep = None


def listed(client: httpx2.Client, address: str, asked: Mapping[str, Any] | None = None) -> Listed:
    """The page at an address of the server."""
    answer = client.get(address, params=asked) if asked else client.get(address)
    assert answer.status_code == 200, answer.text
    return Listed(answer.text)


def asked_of(address: str) -> dict[str, str]:
    """The query of an address."""
    return dict(parse_qsl(urlsplit(address).query))


def fill(store: Store, count: int = 7) -> list[str]:
    """Runs that differ in everything that lists are filtered by; their ids, the newest first."""
    tapes: list[Tape] = []
    for number in range(count):
        odd = number % 2
        tape = Tape(f"page {number}", at=BEGAN + number * 60 * SECOND)
        tape.begin(
            f"desk {number}", agent_type=("clerk", "driver")[odd], session=f"s{number // 2}", user=("ann", "ben")[odd],
            environment=("test", "live")[odd], tags=("night", "project:tea") if odd else ("day",),
            source="other:trace.json" if odd else "", parent_run=tapes[0].run if number == 3 else None,
        )  # fmt: skip
        tape.add(LimitHit(metric=("tool_loop", "deadline")[odd], mode=("block", "warn")[odd], used=3, threshold=2))
        if number != count - 1:
            tape.wait(number * SECOND)
            tape.finish("failed" if odd else "completed", stop_reason="deadline" if odd else "final_answer")
        tapes.append(tape)
    store.append(batch(*(tape.events for tape in tapes)))
    return [tape.run for tape in reversed(tapes)]
