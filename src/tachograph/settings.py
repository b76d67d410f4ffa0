"""One frozen value with everything that can be set. The environment is read once, here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from tachograph.errors import SettingsError

Capture = Literal["none", "hashed", "redacted", "full"]
Scrub = Literal["inline", "drain"]
Fsync = Literal["never", "interval", "effects"]

KIB, MIB = 1024, 1024 * 1024
_KEYED = re.compile(r"(?P<scheme>https?://)(?P<key>[^/?#]*)@(?P<rest>.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings with their defaults. Environment names are in `ENVIRONMENT`."""

    home: Path = field(default_factory=lambda: default_home(os.environ, sys.platform))
    """Data folder: the default store, journals, prices.toml. `TACHOGRAPH_HOME`, else the platform's data folder."""
    store: str = ""
    """Store URL; empty means `sqlite:` with `tachograph.db` in `home`."""
    key: str = field(default="", repr=False)
    """Access key of a store that is another server. One in its URL, `https://KEY@host`, moves here, so that nothing
    which shows the URL shows the key."""
    capture: Capture = "full"
    """How much content is kept. Secrets are masked at every level."""
    scrub: Scrub = "inline"
    """Where redaction happens: before the journal is written, or in the drain (the journal is private, mode 0600)."""
    redact: tuple[str, ...] = ()
    """Opt-in rules beside the secrets: email, phone, card."""
    patterns: Mapping[str, str] = field(default_factory=dict)
    """Own redaction rules: name → regular expression."""
    scrubbers: tuple[Callable[[str], str], ...] = ()
    """Own redaction functions on text, run after the rules. One that raises costs the content, never the event."""
    hash_key: str = ""
    """Key of the `hashed` level; empty means a random key kept in `home`."""
    fsync: Fsync = "never"
    """When the journal is forced to disk: `kill -9` loses nothing even with never; a power cut may."""
    segment_bytes: int = 4 * MIB
    """Size of a journal segment."""
    journal_bytes: int = 256 * MIB
    """Most a process's journal may hold while the store is away; above three quarters of it payload is shed first."""
    content_bytes: int = 8 * MIB
    """A single content above this is cut, and marked with its full size."""
    drain_interval: float = 0.2
    """Seconds between drain rounds."""
    drain: bool = True
    """Whether this process may drain journals into the store."""
    exit_seconds: float = 2.0
    """Most that leaving the program may take for the last drain; what is left waits on disk."""
    prices: Path | None = None
    """TOML file of price overrides; default `prices.toml` in `home` when it exists."""
    policies: Path | None = None
    """TOML file of retention rules and alerts; default `policies.toml` in `home` when it exists."""

    token_prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Own prices in USD per 1,000 tokens: `{"my-model": {"input": 0.03, "output": 0.06}}`."""
    million_prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The same in USD per million tokens."""

    def __post_init__(self) -> None:
        """Take the key out of the store's URL, and refuse values that cannot work. Raises SettingsError."""
        url, key = without_key(self.store)
        if key:
            object.__setattr__(self, "store", url)
            object.__setattr__(self, "key", key)
        for name, allowed in (("capture", Capture), ("scrub", Scrub), ("fsync", Fsync)):
            if getattr(self, name) not in get_args(allowed):
                raise SettingsError(name, getattr(self, name), f"one of {', '.join(get_args(allowed))}")
        if self.segment_bytes < 64 * KIB:
            raise SettingsError("segment_bytes", self.segment_bytes, f"at least {64 * KIB}")
        if self.journal_bytes < self.segment_bytes:
            raise SettingsError("journal_bytes", self.journal_bytes, f"at least segment_bytes ({self.segment_bytes})")

    @property
    def store_url(self) -> str:
        """The store URL, with the default filled in."""
        return self.store or f"sqlite:{self.home / 'tachograph.db'}"


ENVIRONMENT: Mapping[str, str] = {
    "TACHOGRAPH_HOME": "home",
    "TACHOGRAPH_STORE": "store",
    "TACHOGRAPH_KEY": "key",
    "TACHOGRAPH_CAPTURE": "capture",
    "TACHOGRAPH_SCRUB": "scrub",
    "TACHOGRAPH_REDACT": "redact",
    "TACHOGRAPH_FSYNC": "fsync",
    "TACHOGRAPH_HASH_KEY": "hash_key",
    "TACHOGRAPH_JOURNAL_BYTES": "journal_bytes",
    "TACHOGRAPH_CONTENT_BYTES": "content_bytes",
    "TACHOGRAPH_DRAIN": "drain",
    "TACHOGRAPH_PRICES": "prices",
    "TACHOGRAPH_POLICIES": "policies",
}
"""Environment variable → setting. `TACHOGRAPH_REDACT` is a comma-separated list, `TACHOGRAPH_DRAIN` is 0 or 1."""


PASSED_ON = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""Environment variables that commands see which an agent runs."""


def read(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment, with keyword overrides on top. Raises SettingsError."""
    environ = os.environ if environ is None else environ
    kinds = {item.name: item.type for item in fields(Settings)}
    found = {
        name: _parse(variable, environ[variable], str(kinds[name]))
        for variable, name in ENVIRONMENT.items()
        if environ.get(variable)
    }
    for name in overrides.keys() - kinds.keys():
        raise SettingsError(name, overrides[name], f"no such setting; there are {', '.join(sorted(kinds))}")
    return Settings(**{**found, **overrides})


def variables(names: Iterable[str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Those of the named environment variables that are set and not empty: keys of model providers."""
    environ = os.environ if environ is None else environ
    return {name: environ[name] for name in names if environ.get(name)}


def passed_on(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a command sees of the environment, when an agent runs it: `PASSED_ON` and `LC_…`, nothing that is a key."""
    environ = os.environ if environ is None else environ
    found = {name: value for name, value in environ.items() if name in PASSED_ON or name.startswith("LC_")}
    return {"PATH": os.defpath, **found}


def without_key(url: str) -> tuple[str, str]:
    """A store URL without the key in front of its host, and that key; '' when there is none."""
    found = _KEYED.fullmatch(url)
    return (url, "") if found is None else (found["scheme"] + found["rest"], found["key"])


def default_home(environ: Mapping[str, str], platform: str) -> Path:
    """The data folder: `TACHOGRAPH_HOME`, else what the platform uses for application data."""
    if chosen := environ.get("TACHOGRAPH_HOME"):
        return Path(chosen)
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or ".")
    if platform == "darwin":
        return home / "Library" / "Application Support" / "tachograph"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home) / "tachograph"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "tachograph"


def _parse(variable: str, text: str, kind: str) -> Any:
    if kind.startswith("Path"):
        return Path(text).expanduser()
    if kind == "int":
        if not text.isdigit():
            raise SettingsError(variable, text, "a whole number of bytes")
        return int(text)
    if kind == "bool":
        if text not in ("0", "1"):
            raise SettingsError(variable, text, "0 or 1")
        return text == "1"
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
