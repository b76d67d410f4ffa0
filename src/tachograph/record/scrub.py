"""Redaction, at the one place that everything passes before it is stored or sent.

Recorded content is JSON text, so a rule never sees the text itself: each string in it, key or value, is decoded and
searched, and written back only when something was found. What is not touched stays byte for byte, and valid JSON stays
valid. Most texts hold nothing: a screen over the raw bytes says so in a few microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from threading import get_ident

from tachograph.errors import SettingsError
from tachograph.events.content import Content
from tachograph.record.rules.literals import Literals
from tachograph.record.rules.redact import OPT_IN, SECRETS, masked, safe_end
from tachograph.record.rules.rule import Rule, Span
from tachograph.record.sanitize import Limits
from tachograph.record.spell import text_of, valid_text
from tachograph.settings import Capture

Counts = Mapping[str, int]
"""Rule name → how often it fired."""

DROPPED = "[dropped: scrub_failed]"
"""Stands for a plain text that could not be redacted."""

_ODD_ESCAPE = re.compile(rb"\\(?:/|u00[2-7]|t(?:\\t| )*+[:=])")
"""Escapes that could hide a match from a screen: `\\/`, ASCII spelled as `\\u00..`, a tab before a separator."""

_SHORT = 256
"""Plain texts up to this many characters are names that come again."""


class Scrubber:
    """What is masked, and how much content is kept. Made once, used from any thread; nothing in it blocks."""

    def __init__(
        self,
        *,
        level: Capture = "full",
        redact: Iterable[str] = (),
        patterns: Mapping[str, str] | None = None,
        scrubbers: Sequence[Callable[[str], str]] = (),
        key: bytes = b"",
    ) -> None:
        """Rules for a capture level.

        `redact` names opt-in rules (email, phone, card); any level but `full` has them all. `patterns` are rules of the
        user's own, name → regular expression (with a group named `secret`, only that group goes). `scrubbers` are the
        user's functions, called with every string after the rules. `key` is that of the level `hashed`. Raises
        SettingsError for an unknown rule, a pattern that is none, or a missing key.
        """
        if level == "hashed" and not key:
            raise SettingsError("hash_key", "", "a key, when only hashes are kept")
        self.level: Capture = level
        own = tuple(_own_rule(name, pattern) for name, pattern in (patterns or {}).items())
        self._rules = (*SECRETS, *_opted(redact, level), *own)
        self._screens = [rule.screen for rule in self._rules]
        self._for_cuts = (*SECRETS, *OPT_IN.values(), *own)
        self._scrubbers = tuple(scrubbers)
        self._key = key if len(key) <= 64 else blake2b(key).digest()
        self._texts, self._names = _Recent(8 << 20), _Recent(1 << 20)
        self._failures: dict[int, int] = {}

    @property
    def keeps_content(self) -> bool:
        """Whether this level keeps texts at all."""
        return self.level in ("full", "redacted")

    @property
    def failures(self) -> int:
        """How many texts were dropped because redacting them failed."""
        return sum(list(self._failures.values()))

    def limits(self, content_bytes: int) -> Limits:
        """Limits for `sanitize` whose cuts respect this scrubber's own patterns too."""
        return Limits(bytes=content_bytes, border=self.border)

    def border(self, text: str, end: int) -> int:
        """Where a string may be cut at `end` or a little before, so that no half of a secret is kept."""
        return safe_end(text, end, self._for_cuts)

    # ---- the choke point --------------------------------------------------------------------------------------------

    def capture(self, text: str, *, full_size: int | None = None, marks: tuple[str, ...] = ()) -> Content:
        """JSON text as recorded content, at this scrubber's level. Never raises: what cannot be redacted is dropped.

        `full_size` and `marks` are those of sanitising. At level `hashed` the hash is a keyed BLAKE2b-256 of the text
        with its secrets masked, so that not even the key helps to guess one.
        """
        try:
            data = text.encode()
        except UnicodeEncodeError:
            text, marks = valid_text(text), (*marks, "surrogate")
            data = text.encode()
        if self.level == "none":
            return Content(size=len(data), full_size=full_size, marks=marks, level="none")
        counts: Counts | None = None
        try:
            if self._is_suspect(data):
                text, counts = self._searched(text)
                data = text.encode() if counts else data
        except Exception:  # noqa: BLE001 - the user's own rules may raise anything: the content goes, counted and marked
            self._failed()
            return Content(size=len(data), full_size=full_size, marks=(*marks, "scrub_failed"), level="none")
        if self.level == "hashed":
            name = blake2b(data, digest_size=32, key=self._key).hexdigest()
            return Content(None, name, len(data), full_size, counts, marks, "hashed")
        return Content(text, None, len(data), full_size, counts, marks, self.level)

    def scrub(self, text: str) -> tuple[str, Counts | None]:
        """JSON text with secrets masked, and what fired; the same object and None when nothing did.

        Valid JSON stays valid; text that is not JSON is searched as it is. Raises what the user's own functions raise.
        """
        return self._searched(text) if self._is_suspect(text.encode("utf-8", "surrogatepass")) else (text, None)

    def scrub_plain(self, text: str) -> tuple[str, Counts | None]:
        """Text that is not JSON (a message, a traceback, a URL, a name) with secrets masked. Raises as `scrub` does."""
        counts: dict[str, int] = {}
        clean = self._string(text, counts) if self._is_suspect(text.encode("utf-8", "surrogatepass")) else text
        return clean, counts or None

    def plain(self, text: object) -> str:
        """A text for a column (a name, a tag, an error's message): valid, without NUL, secrets masked. Never raises."""
        if type(text) is not str:
            text = text_of(text)
        known = self._names.get(text)
        if known is not None:
            return known[0]
        try:
            clean, counts = self.scrub_plain(valid_text(text, nul=False))
        except Exception:  # noqa: BLE001 - as in `capture`
            self._failed()
            return DROPPED
        if len(text) <= _SHORT:
            self._names.put(text, (clean, counts))
        return clean

    def named(self, text: object) -> str:
        """As `plain`, but different texts stay different: what was masked is told apart by a digest. For accounts."""
        raw = text if type(text) is str else text_of(text)
        clean = self.plain(text)
        if clean == raw:
            return clean
        digest = blake2b(raw.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key[:64]).hexdigest()
        return f"{clean}#{digest}"

    # ---- how it is done ---------------------------------------------------------------------------------------------

    def _is_suspect(self, data: bytes) -> bool:
        """Whether a rule could find something. Functions of the user's own want to see everything."""
        if self._scrubbers or (b"\\" in data and _ODD_ESCAPE.search(data) is not None):
            return True
        for screen in self._screens:  # noqa: SIM110 - `any` over a generator costs as much as half a screen
            if screen(data):
                return True
        return False

    def _searched(self, text: str) -> tuple[str, Counts | None]:
        found = self._texts.get(text)
        if found is None:
            counts: dict[str, int] = {}
            clean = Literals(self._string, counts, cards=OPT_IN["card"] in self._rules).scrubbed(text)
            if clean is None:
                counts.clear()
                clean = self._string(text, counts)
            found = (clean, counts) if counts else (text, None)
            self._texts.put(text, found)
        return found

    def _string(self, text: str, counts: dict[str, int], kind: str | None = None) -> str:
        text = masked(text, self._rules, counts, kind)
        for number, function in enumerate(self._scrubbers, 1):
            changed = function(text)
            if not isinstance(changed, str):
                raise TypeError(f"scrubber {number} returned {type(changed).__name__}, not str")
            if changed != text:
                text = changed
                counts[f"scrubber_{number}"] = counts.get(f"scrubber_{number}", 0) + 1
        return text

    def _failed(self) -> None:
        """Count a failure: each thread its own, so that no lock is needed and no count is lost."""
        thread = get_ident()
        self._failures[thread] = self._failures.get(thread, 0) + 1


class _Recent:
    """What was found in texts seen lately. Two generations instead of an order of use: no lock is needed."""

    def __init__(self, limit: int) -> None:
        """At most about `limit` bytes of text."""
        self._half = self._room = limit // 2
        self._young: dict[str, tuple[str, Counts | None]] = {}
        self._old: dict[str, tuple[str, Counts | None]] = {}

    def get(self, text: str) -> tuple[str, Counts | None] | None:
        found = self._young.get(text)
        if found is None and (found := self._old.get(text)) is not None:
            self.put(text, found)
        return found

    def put(self, text: str, found: tuple[str, Counts | None]) -> None:
        size = text.__sizeof__() + (0 if found[1] is None else found[0].__sizeof__()) + 200
        if size > self._half:
            return
        self._room -= size
        if self._room < 0:
            self._old, self._young, self._room = self._young, {}, self._half - size
        self._young[text] = found


def _opted(names: Iterable[str], level: Capture) -> Iterator[Rule]:
    wanted = tuple(names)
    for name in wanted:
        if name not in OPT_IN:
            raise SettingsError("redact", name, f"one of {', '.join(OPT_IN)}")
    return (rule for name, rule in OPT_IN.items() if level != "full" or name in wanted)


_RULE_NAME = re.compile(r"[a-z0-9_]{1,64}")
_LITERAL_PATTERN = re.compile(r"[A-Za-z0-9 _:;,@#%&=<>!~'-]+")


def _own_rule(name: str, pattern: str) -> Rule:
    """A rule of the user's. A pattern without special characters is screened as fast as the built-in rules."""
    if _RULE_NAME.fullmatch(name) is None:
        raise SettingsError("patterns", name, "a name of a-z, 0-9 and _, at most 64 characters")
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise SettingsError("patterns", pattern, f"a regular expression ({problem})") from problem
    group = "secret" if "secret" in compiled.groupindex else 0
    needle = pattern.encode() if _LITERAL_PATTERN.fullmatch(pattern) else b""

    def find(text: str) -> Iterator[Span]:
        return (Span(*match.span(group), name) for match in compiled.finditer(text))

    return Rule(name, lambda data: needle in data, find)
