"""The pages of a server, found as a reader finds them: from link to link, and from a page to what it loads later.

One page of each shape is enough. The shape of an address is its path with ids and numbers taken out, and the names of
what its query asks: the pages of two steps are one shape, a list and the same list with a filter are two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit

_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBERS = re.compile(r"(?<=/)\d+(?=/|$)")

LATER = frozenset({"hx-get", "data-later", "data-rows", "data-head", "data-copy"})
"""Attributes that say where a part of a page is, which comes later or when it is asked for."""

Read = Callable[[str], str | None]
"""Address → its HTML; None for what is no page."""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {*LATER, "href"} if tag == "a" else LATER
        self.found += [value for name, value in attrs if name in wanted and value]


def shape(address: str) -> str:
    """What kind of page an address leads to."""
    parts = urlsplit(address)
    names = sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)})
    return _NUMBERS.sub("0", _IDS.sub("id", parts.path)) + (f"?{'&'.join(names)}" if names else "")


def linked(page: str, html: str) -> Iterator[str]:
    """Addresses that a page links to or loads a part from, without what stands behind their `#`."""
    parser = _Links()
    parser.feed(html)
    for link in parser.found:
        yield urldefrag(urljoin(page, link)).url


def crawl(read: Read, starts: Iterable[str], *, limit: int, again: int = 1) -> list[str]:
    """At most `limit` pages of the starts' server, at most `again` of each shape; those of a path not seen go first."""
    waiting = [(shape(start), start) for start in starts]
    hosts = {urlsplit(start).netloc for _, start in waiting}
    seen, paths, shapes, pages = set[str](), set[str](), dict[str, int](), list[str]()
    while waiting and len(pages) < limit:
        fresh = (at for at, (kind, _) in enumerate(waiting) if kind.partition("?")[0] not in paths)
        kind, address = waiting.pop(next(fresh, 0))
        if address in seen or urlsplit(address).netloc not in hosts or shapes.get(kind, 0) >= again:
            continue
        seen.add(address)
        html = read(address)
        if html is None:
            continue
        shapes[kind] = shapes.get(kind, 0) + 1
        paths.add(kind.partition("?")[0])
        pages.append(address)
        waiting += ((shape(link), link) for link in linked(address, html) if link not in seen)
    return pages
