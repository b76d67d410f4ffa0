"""Which pages there are: a walk from link to link, without a browser."""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import httpx2

from bench.kit.crawl import crawl, linked, shape
from tachograph.web import links
from tests.browser.every.sent import Sent

STARTS = tuple(path for _, path in links.NAVIGATION)


class Found(NamedTuple):
    """A page as it was sent, or a part of one."""

    address: str
    headers: httpx2.Headers
    sent: Sent
    is_page: bool


class Walk:
    """Walks through a server and keeps what it sent."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.found: dict[str, Found] = {}
        self.led: set[str] = set()
        """Paths, without ids and numbers, that another page leads to."""
        self.broken: dict[str, str] = {}
        """Address → what it answers instead of a page."""
        self._client = httpx2.Client(base_url=base, headers={"Accept": "text/html"}, timeout=30)

    def __enter__(self) -> Self:
        """The walk, over one connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connection; what was found stays."""
        self._client.close()

    def read(self, address: str) -> str | None:
        """An address as HTML; None for what is none."""
        try:
            answer = self._client.get(address)
        except httpx2.TransportError:  # after an error of its own a server lets go of the connection
            answer = self._client.get(address)
        if answer.status_code >= 400:
            self.broken[address] = f"{answer.status_code}: {_told(answer.text)}"
            return None
        if answer.status_code != 200 or not answer.headers.get("Content-Type", "").startswith("text/html"):
            return None
        is_page = answer.text.lstrip().startswith("<!doctype html>")
        self.found[address] = Found(address, answer.headers, Sent(address, answer.text), is_page)
        self.led |= {_path(link) for link in linked(address, answer.text)} - {_path(address)}
        return answer.text

    def telling(self, text: str) -> tuple[str, ...]:
        """Pages that show much, of a run with interventions; and those that are offered only under conditions."""
        runs = self._client.get("/api/runs?limit=100").json()["runs"]
        left, right, *_ = sorted(runs, key=lambda run: (run["interventions"], run["tool_calls"]), reverse=True)
        steps = self._client.get(f"/api/runs/{left['id']}").json()["steps"]
        tool = next(step["id"] for step in steps if step["kind"] == "tool")
        return (
            f"{links.SEARCH}?q={text}", links.run(left["id"]), links.run(left["id"], f"steps/{tool}"),
            links.compare(left["id"], right["id"]), links.run(left["id"], "delete"), "/system/prune",
        )  # fmt: skip

    def pages(self, *first: str, limit: int = 80, again: int = 1) -> list[str]:
        """Pages of the whole server: some of each shape."""
        starts = [self.base + path for path in (*first, *STARTS)]
        return crawl(self.read, starts, limit=limit, again=again)

    def of_run(self, run: str, limit: int = 80, again: int = 1) -> list[str]:
        """The pages of one run that can be reached from it, at most `again` of each shape."""
        start = self.base + links.run(run)

        def read(address: str) -> str | None:
            inside = urlsplit(address).path.startswith(urlsplit(start).path)
            return self.read(address) if inside else None

        return crawl(read, [start], limit=limit, again=again)

    def faults(self) -> list[str]:
        """What is wrong with what was sent, and which answers are the server's fault."""
        sent = [fault for found in self.found.values() for fault in found.sent.faults]
        return sent + [f"{at}: {answer}" for at, answer in self.broken.items() if answer.startswith("5")]

    def one_of_each(self) -> list[str]:
        """One page of each path that was found, whatever it is asked: the first."""
        first: dict[str, str] = {}
        for found in self.found.values():
            if found.is_page:
                first.setdefault(_path(found.address), found.address)
        return list(first.values())


def _path(address: str) -> str:
    return shape(address).partition("?")[0]


def _told(answer: str) -> str:
    """What a problem says, without the page around it."""
    return " ".join(re.sub(r"<[^>]*>", " ", answer.partition("<main")[2] or answer).split())[:200]


def leads_to(path: str, pattern: str) -> bool:
    """Whether a path is one of those that a page's path stands for."""
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) is not None


def named(page: str) -> str:
    """A name for a page's files."""
    return re.sub(r"[^a-z0-9]+", "-", shape(page).lower()).strip("-") or "overview"
