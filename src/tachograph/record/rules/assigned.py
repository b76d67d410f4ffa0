"""Secrets one can only tell by the name they stand under: `password=…`, `"api_key": "…"`, `Authorization: …`, `--token …`.

A name is sensitive when it ends in one of the words below, whatever stands before it (`OPENAI_API_KEY`, `dbPassword`). How
much the value must look like a secret depends on how it is written: in JSON it is taken almost as it is, in source code
and prose it needs more (`password = getpass()` stays). The screen removes quotes, spaces, `-` and `_` from the bytes, so
that `"api-key" = ` and `apiKey:` become one thing, and looks at what stands before each `:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tachograph.record.rules.placeholder import is_placeholder
from tachograph.record.rules.rule import Rule, Span

Style = Literal["json", "quoted", "bare"]
"""How a value is written: a JSON string under a quoted key, a quoted string elsewhere, or without quotes."""

_LONGEST = 4096
"""So far a closing quote, or the end of a line, is looked for."""

# ---- names ----------------------------------------------------------------------------------------------------------

_WORD = (
    r"[aAcCeEmMpPsStT](?:"
    r"(?<=[pP])(?i:ass(?:word|wd|phrase|code)?|wd|rivate[-_ ]?key)"
    r"|(?<=[sS])(?i:ecret(?:[-_ ]?access)?(?:[-_ ]?key)?|ubscription[-_ ]?key|igning[-_ ]?key|ig(?:nature)?)"
    r"|(?<=[aA])(?i:pi[-_ ]?(?:key|secret)|uthorization|uth[-_ ]?key|ccount[-_ ]?key|ccess[-_ ]?key)"
    r"|(?<=[tT])(?i:oken)|(?<=[cC])(?i:ookie)|(?<=[mM])(?i:aster[-_ ]?key)|(?<=[eE])(?i:ncryption[-_ ]?key))"
)
_KIND = {
    "password": "password", "passwd": "password", "passphrase": "password", "passcode": "password",
    "pass": "pass", "pwd": "pass",
    "apikey": "api_key", "accountkey": "api_key", "accesskey": "api_key", "subscriptionkey": "api_key",
    "authkey": "api_key",
    "token": "token", "authorization": "authorization", "cookie": "cookie",
    "sig": "url_signature", "signature": "url_signature",
}  # fmt: skip
"""Word → what it names; the others name a `secret`."""

_KEY_END = re.compile(rf"({_WORD})\Z")


def kind_of(key: str) -> str | None:
    """What a name is the name of: password, pass, secret, api_key, token, authorization, cookie; None if harmless."""
    word = _KEY_END.search(key, max(0, len(key) - 24))
    if word is None:
        return None
    kind = _kind(word[1])
    return None if kind == "token" and _PAGING.search(key, 0, word.start()) else kind


def _kind(word: str) -> str:
    return _KIND.get(re.sub(r"[-_ ]", "", word).lower(), "secret")


# ---- values ---------------------------------------------------------------------------------------------------------

_BARE = re.compile(r"[^\s\"'`,;&<>()\[\]{}|\\]{1,512}+(?![(\[{])")
_LINE = re.compile(rf"[^\r\n\"'`\\]{{1,{_LONGEST}}}+")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[~.]{0,2}(?:/[a-z0-9_.-]+)+/?|[A-Za-z]:\\.*")
_TOKEN = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])(?=(?:[^A-Za-z0-9]*[A-Za-z0-9]){12})[A-Za-z0-9+/=._~%:|-]{20,4096}")
_COOKIE = re.compile(r"[\w.-]{1,100}=[^\s;]{4,}.*", re.DOTALL)
_SCHEME = re.compile(
    r"(?i:(?P<list>digest|aws4-\S{1,40}|hmac\S{0,40}|oauth)|bearer|basic|token|api-?key|key|bot|negotiate)\s+"
)
_CREDENTIAL = re.compile(r"[^\s\"'`\\,;<>]+")
_PAGING = re.compile(r"(?i:page|next|prev|cont|sync|cursor|resum)\w{0,12}[-_ ]?$")
_IN_QUERY = re.compile(r"[?&](?:amp;)?[\w-]{0,24}$")
_RANDOM = re.compile(r"[0-9]|[a-z][A-Z]")
_DIGIT = re.compile(r"[0-9]")
_SPACE = re.compile(r"\s")

_SKIPPED = "\"'` \t\\_-"
_NO_START = "[{,}]"
"""What the screen does not see, and what no secret begins with: a container, or no value at all."""

_SHORTEST = {
    "password": {"json": 1, "quoted": 4, "bare": 6},
    "pass": {"json": 4, "quoted": 6, "bare": 6},
    "secret": {"json": 8, "quoted": 8, "bare": 8},
    "api_key": {"json": 8, "quoted": 8, "bare": 8},
}


def secret_in(kind: str, value: str, style: Style) -> tuple[int, int] | None:
    """Which part of a value under a name of this kind is the secret; None when it does not look like one."""
    if value.lstrip(_SKIPPED)[:1] in _NO_START or is_placeholder(value):
        return None
    if kind == "authorization":
        return _authorization(value, style)
    if kind == "token":
        found = _TOKEN.fullmatch(value) is not None
    elif kind == "cookie":
        found = _COOKIE.fullmatch(value) is not None
    elif kind == "url_signature":
        found = style == "bare" and len(value) >= 16
    else:
        found = _credible(kind, value, style)
    return (0, len(value)) if found else None


def _credible(kind: str, value: str, style: Style) -> bool:
    if len(value) < _SHORTEST[kind][style] or not value.strip():
        return False
    if kind == "password" and style == "json":
        return True
    if _SPACE.search(value) or (kind == "pass" or style != "json") and _REFERENCE.fullmatch(value):
        return False
    return style == "json" or (kind == "password" and style == "quoted") or _DIGIT.search(value) is not None


def _authorization(value: str, style: Style) -> tuple[int, int] | None:
    """The credential behind its scheme; a header that lists parameters (Digest, AWS4) goes whole."""
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme["list"] is not None:
        return scheme.end(), len(value)
    start = scheme.end() if scheme is not None else 0
    credential = _CREDENTIAL.match(value, start)
    if credential is None or is_placeholder(credential[0]):
        return None
    sure = style == "json" or _RANDOM.search(credential[0]) is not None
    shortest = 8 if scheme is not None or style == "json" else 16
    return credential.span() if sure and len(credential[0]) >= shortest else None


# ---- search ---------------------------------------------------------------------------------------------------------

_ASSIGNMENT = re.compile(
    rf"({_WORD})(?P<close>\\*[\"'`])?[ \t]{{0,8}}(?:=>|:=|[:=])[ \t]{{0,8}}"
    r"(?:(?P<open>\\*[\"'`])|(?=[^\s\"'`,;&<>()\[\]{}|\\]{5}))"
)
_FLAG = re.compile(r"(?<!\S)--?([A-Za-z][A-Za-z_-]{2,40}+)[ \t]+(?P<open>[\"'])?(?![-\"'])")
_CURL_USER = re.compile(r"(?<= )(?:-u|--user) [\"']?[^\s:\"'\\]{1,100}:([^\s\"'\\]{1,256})")
_CURL = re.compile(r"\bcurl\b[^\n]*\Z")
_QUOTE = {quote: re.compile(rf"(?<!\\)\\*+{quote}") for quote in "\"'`"}


def find(text: str) -> Iterator[Span]:
    """All values in a decoded string that stand under a sensitive name, in a header, an option or a query."""
    position = 0
    while (match := _ASSIGNMENT.search(text, position)) is not None:
        span, position = _assigned(text, match)
        if span is not None:
            yield span
    yield from _find_options(text)


def _assigned(text: str, match: re.Match[str]) -> tuple[Span | None, int]:
    """The secret that an assignment holds, if it does, and where to go on."""
    kind = _kind(match[1])
    before = text[max(0, match.start() - 32) : match.start()]
    if kind == "url_signature" and not _IN_QUERY.search(before) or kind == "token" and _PAGING.search(before):
        return None, match.end()
    opening, key_closed = match["open"], match["close"] is not None
    style: Style = "bare" if opening is None else "json" if key_closed else "quoted"
    span, end = _judged(text, match.end(), opening, kind, style)
    return span, span.end if span is not None else end if style == "bare" and end > match.end() + 64 else match.end()


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
    """Where a quoted value ends. In JSON within JSON a quote is `\\\\"`, and one inside its value has more backslashes."""
    depth = len(opening) - 1
    for quote in _QUOTE[opening[-1]].finditer(text, start, start + _LONGEST):
        if (quote.end() - quote.start() - 1) % (2 * depth + 2) == depth:
            return quote.end() - len(opening)
    return None


def _find_options(text: str) -> Iterator[Span]:
    """`--password hunter2`, `curl -u user:password`."""
    for match in _FLAG.finditer(text):
        kind = kind_of(match[1])
        if kind is not None:
            style: Style = "quoted" if match["open"] else "bare"
            span, _ = _judged(text, match.end(), match["open"], kind, style)
            if span is not None:
                yield span
    for match in _CURL_USER.finditer(text):
        if _CURL.search(text, max(0, match.start() - 200), match.start()) and not is_placeholder(match[1]):
            yield Span(match.start(1), match.end(1), "password")


# ---- screen ---------------------------------------------------------------------------------------------------------

_FOLD = bytes(byte + 32 if 65 <= byte <= 90 else 58 if byte == 61 else byte for byte in range(256))
_DROP = _SKIPPED.encode()
_ENDINGS = (
    b"password", b"passwd", b"passphrase", b"passcode", b"pass", b"pwd", b"privatekey", b"secret", b"secretkey",
    b"accesskey", b"subscriptionkey", b"signingkey", b"apikey", b"apisecret", b"authkey", b"accountkey", b"masterkey",
    b"encryptionkey", b"secretaccess", b"authorization", b"cookie", b"?sig", b"&sig", b";sig", b"?signature",
    b"&signature", b"zsignature", b"gsignature",
)  # fmt: skip


def _before_colon() -> re.Pattern[bytes]:
    """Sensitive words before a `:`, grouped by their last two letters so that most colons are done after few looks."""
    groups: dict[bytes, list[bytes]] = {}
    for word in _ENDINGS:
        groups.setdefault(word[-2:], []).append(word)
    looks = [
        b"(?<=" + end + b":)(?:" + b"|".join(b"(?<=" + re.escape(word) + b":)" for word in words) + b")"
        for end, words in groups.items()
    ]
    value = b"(?![" + re.escape(_NO_START.encode()) + b"])"
    return re.compile(b":(?:(?:" + b"|".join(looks) + b")" + value + b"|(?<=token:)(?=[A-Za-z0-9+/.~%:|>]{12}))")


_ASSIGNS = _before_colon()
_HAS_OPTION = re.compile(
    rb"(?i)-(?:u |-user |[a-z_-]{3,42}+[ \\\t](?:(?<=pass.)|(?<=word.)|(?<=asswd.)|(?<=phrase.)|(?<=secret.)|(?<=token.)|(?<=key.)))"
)


def screen(data: bytes) -> bool:
    """Whether a sensitive name seems to have a value."""
    return _ASSIGNS.search(data.translate(_FOLD, _DROP)) is not None or _HAS_OPTION.search(data) is not None


RULE = Rule("assigned", screen, find)
