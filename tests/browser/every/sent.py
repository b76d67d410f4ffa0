"""A page as it is sent, before any browser: what stands in it that must not, and what a reader finds in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

_ADDRESSES = {"href", "src", "action", "formaction", "poster", "data", "srcset", "hx-get", "hx-post", "hx-delete"}
_GOES_ON = re.compile(r"0; url=/[a-z]")
"""How a page without scripts comes to what it would have loaded."""
_LOUD = {"script", "style"}


class Sent(HTMLParser):
    """One page: `faults` are what breaks its policy, `text` is everything that it says."""

    def __init__(self, address: str, html: str) -> None:
        super().__init__()
        self.address = address
        self.faults: list[str] = []
        self.links: list[str] = []
        self._said: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """Everything that can be read: text, what stands in fields, and what shows on hover."""
        return "\n".join(self._said)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Judge a tag and its attributes."""
        self._inside = tag if tag in _LOUD else ""
        given = dict(attrs)
        if "pwned" in tag or tag in {"style", "base", "iframe", "object", "embed", "plaintext"}:
            self._fault(f"a tag <{tag}>")
        if tag == "script" and "src" not in given:
            self._fault("a script in the page")
        if tag == "meta" and "http-equiv" in given and not _GOES_ON.match(given.get("content") or ""):
            self._fault("a page that goes elsewhere by itself")
        for name, value in attrs:
            self._attribute(tag, name, value or "")

    def handle_endtag(self, tag: str) -> None:
        """A script ends where its tag does."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Keep what is said; a script says nothing."""
        if self._inside and data.strip():
            self._fault(f"text in a <{self._inside}>")
        self._said.append(data)

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith(("on", "hx-on")) or name == "style" or "pwned" in name:
            self._fault(f"an attribute {name} of <{tag}>")
        if name in _ADDRESSES:
            self._led(tag, name, value)
        if name in {"value", "title", "placeholder", "aria-label", "alt"} or name.startswith("data-"):
            self._said.append(value)

    def _led(self, tag: str, name: str, value: str) -> None:
        there, here = urlsplit(urljoin(self.address, value)), urlsplit(self.address)
        if (there.scheme, there.netloc) != (here.scheme, here.netloc):
            self._fault(f"{name} of <{tag}> leads to {value!r}")
        elif tag == "a":
            self.links.append(urljoin(self.address, value))

    def _fault(self, what: str) -> None:
        self.faults.append(f"{self.address}: {what}")


def squeezed(text: str) -> str:
    """The text with each run of white space as one space, as a browser shows most of it."""
    return " ".join(text.split())
