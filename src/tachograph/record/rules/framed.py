"""Secrets one can tell by what stands around them: private keys in PEM armour, passwords in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tachograph.record.rules.placeholder import is_placeholder
from tachograph.record.rules.rule import Rule, Span

_GAP = r"(?:\s|\\{1,8}[nrt])"
# Groups are not possessive here: Python 3.11.2 finds too little with those.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    # to its end; or, when that was cut off, over all lines that look like Base64
    r"(?:[^-]*+(?:-(?!----)[^-]*+)*-----END [A-Z0-9 ]{0,60}-----"
    rf"|(?:{_GAP}{{0,8}}(?:[A-Za-z-]{{3,16}}: [^\n\\]{{1,100}}+|[A-Za-z0-9+/=]{{16,}}+))*"
    rf"(?:{_GAP}{{1,8}}[A-Za-z0-9+/=]{{1,15}}+(?=\Z|\s?\[cut:))?)"
)

_USERINFO = r"[^\s/?#\"'<>\\@]"
_IN_URL = re.compile(
    rf":(?:\\*/){{2}}(?:[^\s/?#\"'<>\\@:]{{0,200}}+:([^\s/?#\"'<>\\]{{1,256}})|({_USERINFO}{{20,256}}+))@"
)
_SCREEN_URL = re.compile(rb":\\*/\\*/[^\s/?#\"'<>@]{1,456}+@")


def screen_private_key(data: bytes) -> bool:
    """Whether the words of a PEM header are there."""
    return b"V" in data and b"PRIVATE KEY" in data  # one letter is ten times as fast to look for, and seldom there


def find_private_keys(text: str) -> Iterator[Span]:
    """PEM and PGP private keys, line breaks real or escaped, headers included; cut ones too."""
    for match in _PRIVATE_KEY.finditer(text):
        yield Span(match.start(), match.end(), "private_key")


def screen_url(data: bytes) -> bool:
    """Whether a URL has something before an `@`."""
    return b"@" in data and _SCREEN_URL.search(data) is not None


def find_url_passwords(text: str) -> Iterator[Span]:
    """Passwords, and long user names without one, before the host of a URL. Placeholders stay (`user:${PASSWORD}@`)."""
    for match in _IN_URL.finditer(text):
        group = 1 if match[1] is not None else 2
        if not is_placeholder(match[group]):
            yield Span(match.start(group), match.end(group), "url_password")


RULES = (
    Rule("private_keys", screen_private_key, find_private_keys),
    Rule("url_passwords", screen_url, find_url_passwords),
)
