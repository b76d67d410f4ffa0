"""Secrets one can only tell by the name they stand under: `password=…`, `"api_key": "…"`, `Authorization: Basic …`.

A name is sensitive when it ends in one of the words below, whatever stands before it (`OPENAI_API_KEY`, `dbPassword`).
How much the value must look like a secret depends on how it is written: in JSON it is taken almost as it is, in source
code and prose it needs more (`password = getpass()` stays). The screen removes quotes, spaces, `-` and `_` from the
bytes, so that `"api-key" = ` and `apiKey:` become one thing, and looks at what stands before each `:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

from tachograph.record.rules.placeholder import is_placeholder
from tachograph.record.rules.rule import Rule, Span

Style = Literal["json", "quoted", "bare"]
"""How a value is written: a JSON string under a quoted key, a quoted string elsewhere, or without quotes."""

_LONGEST = 4096
"""So far a closing quote, or the end of a line, is looked for."""

# ---- names ----------------------------------------------------------------------------------------------------------

_WORDS = {
    "password": "password", "passwd": "password", "passphrase": "password", "passcode": "password",
    "pass": "pass", "pwd": "pass",
    "secret": "secret", "secret key": "secret", "private key": "secret", "signing key": "secret",
    "encryption key": "secret", "master key": "secret",
    "api key": "api_key", "access key": "api_key", "account key": "api_key", "auth key": "api_key",
    "subscription key": "api_key",
    "token": "token", "authorization": "authorization", "cookie": "cookie",
    "sig": "url_signature", "signature": "url_signature",
}  # fmt: skip
"""Word at the end of a name → what the name is the name of. Parts may be joined by `-`, `_`, a space or nothing."""

_BY_ENDING: dict[str, list[tuple[str, str]]] = {}
for _word in sorted(_WORDS, key=len, reverse=True):
    _BY_ENDING.setdefault(_word[-3:], []).append((_word.replace(" ", ""), _WORDS[_word]))
_PAGING = ("page", "next", "prev", "continuation", "sync", "cursor", "resum")
"""A token of these says where a list goes on, and is no secret."""
_IN_WORD = re.compile(r"[a-z]pass\Z|[A-Z]PASS\Z")
"""compass, bypass"""


def kind_of(name: str) -> str | None:
    """What a name is the name of: password, pass, secret, api_key, token, authorization, cookie; None if harmless."""
    return _kind(name[-24:]) if name[-3:].lower() in _BY_ENDING else None


@lru_cache(maxsize=2048)
def _kind(name: str) -> str | None:
    end = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    kind = next((kind for word, kind in _BY_ENDING[name[-3:].lower()] if end.endswith(word)), None)
    harmless = any(word in end for word in _PAGING) if kind == "token" else kind == "pass" and _IN_WORD.search(name)
    return None if harmless else kind


# ---- values ---------------------------------------------------------------------------------------------------------

_SKIPPED = "\"'` \t\\_-"
_NO_START = "[{,}]"
"""What the screen does not see, and what no secret begins with: a container, or no value at all."""

_BARE = re.compile(r"[^\s\"'`,;&<>()\[\]{}|\\]{1,512}+(?![(\[{])")
_LINE = re.compile(rf"[^\r\n\"'`\\]{{1,{_LONGEST}}}+")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[~.]{0,2}(?:/[a-z0-9_.-]+)+/?|[A-Za-z]:\\.*")
_TOKEN = re.compile(
    rf"(?=.*[0-9])(?=.*[A-Za-z])(?=(?:[^A-Za-z0-9]*[A-Za-z0-9]){{12}})[A-Za-z0-9+/=._~%:|-]{{20,{_LONGEST}}}"
)
_COOKIE = re.compile(r"[\w.-]{1,100}=[^\s;]{4,}.*", re.DOTALL)
_SCHEME = re.compile(
    r"(?i:(?P<list>digest|aws4-\S{1,40}|hmac\S{0,40}|oauth)|bearer|basic|token|api-?key|key|bot|negotiate)\s+"
)
_CREDENTIAL = re.compile(r"[^\s\"'`\\,;<>]+")
_RANDOM = re.compile(r"[0-9]|[a-z][A-Z]")
_DIGIT = re.compile(r"[0-9]")
_SPACE = re.compile(r"\s")

_SHORTEST = {
    "password": {"json": 1, "quoted": 4, "bare": 6},
    "pass": {"json": 4, "quoted": 6, "bare": 6},
    "secret": {"json": 8, "quoted": 8, "bare": 8},
    "api_key": {"json": 8, "quoted": 8, "bare": 8},
    "token": {"json": 20, "quoted": 20, "bare": 20},
    "authorization": {"json": 8, "quoted": 8, "bare": 8},
    "cookie": {"json": 8, "quoted": 8, "bare": 8},
    "url_signature": {"json": 16, "quoted": 16, "bare": 16},
}


def secret_in(kind: str, value: str, style: Style) -> tuple[int, int] | None:
    """Which part of a value under a name of this kind is the secret; None when it does not look like one."""
    if len(value) < _SHORTEST[kind][style] or value.lstrip(_SKIPPED)[:1] in _NO_START or is_placeholder(value):
        return None
    if kind == "authorization":
        return _authorization(value, style)
    if kind == "token":
        found = _TOKEN.fullmatch(value) is not None
    elif kind == "cookie":
        found = _COOKIE.fullmatch(value) is not None
    elif kind == "url_signature":
        found = style == "bare"
    else:
        found = _credible(kind, value, style)
    return (0, len(value)) if found else None


def _credible(kind: str, value: str, style: Style) -> bool:
    if style == "json" and kind == "password":
        return True
    if _SPACE.search(value) or ((style != "json" or kind == "pass") and _REFERENCE.fullmatch(value)):
        return False
    return style == "json" or (style == "quoted" and kind == "password") or _DIGIT.search(value) is not None


def _authorization(value: str, style: Style) -> tuple[int, int] | None:
    """The credential behind its scheme; a header that lists parameters (Digest, AWS4) goes whole."""
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme["list"] is not None:
        return scheme.end(), len(value)
    credential = _CREDENTIAL.match(value, scheme.end() if scheme is not None else 0)
    if credential is None or is_placeholder(credential[0]):
        return None
    likely = style == "json" or _RANDOM.search(credential[0]) is not None
    shortest = 8 if scheme is not None or style == "json" else 16
    return credential.span() if likely and len(credential[0]) >= shortest else None


# ---- search ---------------------------------------------------------------------------------------------------------


def _behind(words: Iterable[str]) -> str:
    """A look back at each word, in every spelling."""
    spellings = (form for word in words for form in dict.fromkeys((word.replace(" ", "[-_ ]"), word.replace(" ", ""))))
    return "|".join(f"(?<={form})" for form in spellings)


_ENDS = "".join(sorted({word[-1] + word[-1].upper() for word in _WORDS}))
_ASSIGNMENT = re.compile(
    rf"[{_ENDS}](?=\\*[\"'`]?[ \t]{{0,8}}[:=])(?i:{_behind(_WORDS)})"
    r"(?P<close>\\*[\"'`])?[ \t]{0,8}(?:=>|:=|[:=])[ \t]{0,8}"
    r"(?:(?P<open>\\*[\"'`])|(?=[^\s\"'`,;&<>()\[\]{}|\\]{5}))"
)
_OPTION = re.compile(r"--(?<!\S--)([A-Za-z][A-Za-z_-]{2,40}+)[ \t]+(?P<open>[\"'])?(?![-\"'])")
_CURL_USER = re.compile(r"-(?<= -)(?:u|-user) [\"']?[^\s:\"'\\]{1,100}:([^\s\"'\\]{1,256})")
_IN_QUERY = re.compile(r"[?&](?:amp;)?[\w-]{0,24}\Z")
_QUOTE = {quote: re.compile(rf"(?<!\\)\\*+{quote}") for quote in "\"'`"}


def find(text: str) -> Iterator[Span]:
    """All values in a decoded string that stand under a sensitive name, in a header, an option or a query."""
    position = 0
    while (match := _ASSIGNMENT.search(text, position)) is not None:
        span, position = _assigned(text, match)
        if span is not None:
            yield span
    yield from _options(text)


def _assigned(text: str, match: re.Match[str]) -> tuple[Span | None, int]:
    """The secret that an assignment holds, if it does, and where to go on."""
    name = text[max(0, match.start() - 48) : match.start() + 1]
    kind = kind_of(name)
    if kind is None or (kind == "url_signature" and not _IN_QUERY.search(name)):
        return None, match.end()
    opening, key_closed = match["open"], match["close"] is not None
    style: Style = "bare" if opening is None else "json" if key_closed else "quoted"
    span, end = _judged(text, match.end(), opening, kind, style)
    if span is not None:
        return span, max(span.end, match.end())
    return None, end if style == "bare" and end > match.end() + 64 else match.end()


def _judged(text: str, start: int, opening: str | None, kind: str, style: Style) -> tuple[Span | None, int]:
    """The secret in the value that starts here, if it is one, and the end of the value."""
    end = None if opening is None else _closing(text, start, opening)
    if end is None:
        line = style == "json" or kind in ("authorization", "cookie")
        rest = (_LINE if line else _BARE).match(text, start)
        end = start if rest is None else rest.end()
    part = secret_in(kind, text[start:end], style)
    if part is None:
        return None, end
    return Span(start + part[0], start + part[1], "password" if kind == "pass" else kind), end


def _closing(text: str, start: int, opening: str) -> int | None:
    """Where a quoted value ends: in JSON within JSON quotes are escaped, and quotes inside the value once more."""
    depth = len(opening) - 1
    for quote in _QUOTE[opening[-1]].finditer(text, start, start + _LONGEST):
        if (quote.end() - quote.start() - 1) % (2 * depth + 2) == depth:
            return quote.end() - len(opening)
    return None


def _options(text: str) -> Iterator[Span]:
    """`--password hunter2`, `curl -u user:password`."""
    for match in _OPTION.finditer(text):
        kind = kind_of(match[1])
        if kind in ("password", "pass", "secret", "api_key", "token"):
            span, _ = _judged(text, match.end(), match["open"], kind, "quoted" if match["open"] else "bare")
            if span is not None:
                yield span
    for match in _CURL_USER.finditer(text) if "curl " in text else ():
        command = text.rfind("curl ", max(0, match.start() - 200), match.start())
        if command >= 0 and "\n" not in text[command : match.start()] and not is_placeholder(match[1]):
            yield Span(match.start(1), match.end(1), "password")


# ---- screen ---------------------------------------------------------------------------------------------------------

_FOLD = bytes(byte + 32 if 65 <= byte <= 90 else 58 if byte == 61 else byte for byte in range(256))
_DROP = _SKIPPED.encode()


def _before_colon() -> re.Pattern[bytes]:
    """Sensitive words before a `:`, told apart by their last letters first: most colons are done after one look.

    A signature counts in a query only (`&sig:`, `&xamzsignature:`, `&xgoogsignature:`), a token only if it is long.
    """
    value, long = f"(?![{re.escape(_NO_START)}])", "(?=[A-Za-z0-9+/.~%:|>]{12})"
    groups: dict[str, list[str]] = {}
    for word in (word.replace(" ", "") for word in _WORDS):
        before = {"sig": "[?&;]sig", "signature": "[?&;zg]signature"}.get(word, word)
        groups.setdefault(word[-2:], []).append(f"(?<={before}:){long if word == 'token' else value}")
    looks = "|".join(f"(?<={end}:)(?:{'|'.join(looks)})" for end, looks in groups.items())
    last = "".join(sorted({word[-1] for word in _WORDS}))
    return re.compile(f":(?<=[{last}]:)(?:{looks})".encode())


_ASSIGNS = _before_colon()
_HAS_OPTION = re.compile(
    rb"-(?:u |-(?:user |[A-Za-z_-]{3,41}+[ \\\t](?i:(?<=pass.)|(?<=word.)|(?<=wd.)|(?<=phrase.)|(?<=code.)|(?<=secret.)"
    rb"|(?<=token.)|(?<=key.))))"
)


def screen(data: bytes) -> bool:
    """Whether a sensitive name seems to have a value."""
    return _ASSIGNS.search(data.translate(_FOLD, _DROP)) is not None or _HAS_OPTION.search(data) is not None


RULE = Rule("assigned", screen, find)
