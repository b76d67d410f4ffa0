"""The policies of a store: retention rules and alerts, as a file `policies.toml` says them.

    [[retention]]
    name = "old"
    older_than = "30d"          # also: status, tag, tenant, max_bytes, keep_tag, audits, archive

    [[alert]]
    name = "spend"
    metric = "cost"
    threshold = "$5"
    window = "1h"               # also: by, of, tenant, min_count, rearm, callback

A rule prunes what meets all its conditions; several rules prune what meets any of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.errors import SettingsError
from tachograph.settings import Settings
from tachograph.upkeep import amounts
from tachograph.upkeep.alert import QUANTILES, Alert
from tachograph.upkeep.rule import Rule

FILE = "policies.toml"


class Policies(Struct, frozen=True):
    """What is kept how long, and what raises an alert."""

    rules: tuple[Rule, ...] = ()
    alerts: tuple[Alert, ...] = ()


def path_of(settings: Settings) -> Path:
    """Where the policies stand."""
    return settings.policies or settings.home / FILE


def policies_for(settings: Settings) -> Policies:
    """The policies of these settings; none when there is no file and none was named. Raises SettingsError."""
    path = path_of(settings)
    if not path.exists():
        if settings.policies is not None:
            raise SettingsError("policies", str(path), "a TOML file that exists")
        return Policies()
    return read(path.read_text(encoding="utf-8"), str(path))


def read(text: str, name: str = FILE) -> Policies:
    """The policies in the text of a file called `name`; relative folders are beside it. Raises SettingsError."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(name, str(problem), "a TOML file of [[retention]] and [[alert]] entries") from problem
    for key in content.keys() - {"retention", "alert"}:
        raise SettingsError(f"{name}: {key}", content[key], "[[retention]] or [[alert]]")
    entries = {kind: _entries(name, kind, content.get(kind, [])) for kind in ("retention", "alert")}
    rules = [_made(Rule, name, f"retention {each}", fields, _RULE) for each, fields in entries["retention"].items()]
    alerts = [
        _made(Alert, name, f"alert {each}", fields, _alert_readers(fields)) for each, fields in entries["alert"].items()
    ]
    beside = Path(name).parent
    return Policies(
        tuple(
            rule if rule.archive is None else msgspec.structs.replace(rule, archive=beside / rule.archive.expanduser())
            for rule in rules
        ),
        tuple(alerts),
    )


def _entries(file: str, kind: str, entries: Any) -> dict[str, Mapping[str, Any]]:
    """Each entry under its name, which nobody else has."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise SettingsError(f"{file}: {kind}", entries, f"entries that begin with [[{kind}]]")
    named: dict[str, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries, 1):
        name = entry.get("name", f"{place}")
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(f"{file}: {kind} {place}: name", name, "a name")
        if name in named:
            raise SettingsError(f"{file}: {kind} {name}: name", name, f"another name: there are two [[{kind}]] {name}")
        named[name] = {**entry, "name": name}
    return named


Readers = Mapping[str, Callable[[Any], Any]]


def _made(kind: Callable[..., Any], file: str, entry: str, fields: Mapping[str, Any], readers: Readers) -> Any:
    values = {}
    for key, value in fields.items():
        if key not in readers:
            raise SettingsError(f"{file}: {entry}: {key}", value, f"one of {', '.join(readers)}")
        try:
            values[key] = readers[key](value)
        except ValueError as problem:
            raise SettingsError(f"{file}: {entry}: {key}", value, str(problem)) from problem
    try:
        return kind(**values)
    except SettingsError as problem:
        raise SettingsError(f"{file}: {problem.name}", problem.value, problem.wanted) from problem
    except TypeError:
        missing = next(key for key in ("metric", "threshold") if key not in values)
        raise SettingsError(f"{file}: {entry}: {missing}", None, "a value: an alert needs one") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """One text, or a list of them."""
    return tuple(map(_text, value if isinstance(value, list) else [value]))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - it becomes a SettingsError like every other value
    return value


def _reference(value: Any) -> str:
    module, colon, function = _text(value).partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
        raise ValueError("module:function")
    return value  # type: ignore[no-any-return] # a text, as the line above found


_RULE: Readers = {
    "name": _text,
    "older_than": amounts.duration,
    "status": _texts,
    "tag": _text,
    "tenant": _text,
    "max_bytes": amounts.size,
    "keep_tag": _text,
    "audits": _flag,
    "archive": lambda value: Path(_text(value)),
}
_ALERT: Readers = {
    "name": _text,
    "metric": _text,
    "threshold": amounts.count,
    "window": amounts.duration,
    "by": _text,
    "of": _text,
    "tenant": _text,
    "min_count": amounts.count,
    "rearm": amounts.share,
    "callback": _reference,
}


def _alert_readers(fields: Mapping[str, Any]) -> Readers:
    """What a threshold may be depends on the metric."""
    metric = fields.get("metric")
    if metric == "cost":
        return {**_ALERT, "threshold": amounts.dollars}
    if metric == "error_rate":
        return {**_ALERT, "threshold": amounts.share}
    if metric in QUANTILES:
        return {**_ALERT, "threshold": lambda value: amounts.duration(value) / amounts.SECOND}
    return _ALERT
