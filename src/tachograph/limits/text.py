"""Limits as a person writes them: `15 turns, $1, 60s, 3 same calls`.

Each part says how much of what, then the scope where it is not the run, then what is done when it is reached:
`$100/tenant/day: warn`. What is not mentioned stays as it was. `spell` writes the same words back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn, get_args

import msgspec

from tachograph.errors import SettingsError
from tachograph.events.limit import Mode
from tachograph.limits.limit import DAY, Limits, Shipped
from tachograph.limits.loops import Loops

MODES: tuple[Mode, ...] = get_args(Mode)
EXAMPLES = (
    "15 turns, 60 model calls, 100 tool calls, depth 3, 3 handoffs, 5 min, 1M tokens, $1.50, 60s/call, "
    "30 runs/session, $100/tenant/day, 3 same calls, 4 repeats: stop, no cost limit, 15 turns: wrap_up, warn at 70%, "
    "no loop detection"
)
"""What can be said, each once."""

_WORDS: Mapping[str, str] = {
    "turn": "iterations", "iteration": "iterations",
    "model call": "llm_calls", "llm call": "llm_calls", "request": "llm_calls", "attempt": "llm_calls",
    "tool call": "tool_calls", "tool": "tool_calls",
    "depth": "depth", "level": "depth",
    "handoff": "handoffs",
    "time": "seconds", "deadline": "seconds", "duration": "seconds",
    "token": "tokens",
    "cost": "usd", "money": "usd", "usd": "usd", "dollar": "usd", "$": "usd", "budget": "usd",
    "run": "runs",
    "same call": "same_calls", "equal call": "same_calls",
    "repeat": "repeats", "round": "cycle", "cycle": "cycle", "error": "errors",
    "equal result": "no_progress", "same result": "no_progress", "news": "news",
}  # fmt: skip
"""Singular word → field of `Limits` for a run, or of `Loops`."""
_RUN = ("iterations", "llm_calls", "tool_calls", "depth", "handoffs", "seconds", "tokens", "usd")
_COUNTED = ("runs", "llm_calls", "tool_calls", "tokens", "usd")
_IN: Mapping[str, Sequence[str]] = {
    "run": _RUN, "call": ("seconds", "tokens", "usd"), "session": _COUNTED, "tenant": _COUNTED,
}  # fmt: skip
"""Scope → what it can limit."""
_LOOPS = ("same_calls", "cycle", "errors", "no_progress", "news")
_RUNGS = ("warn", "block", "skip", "stop")
_SPELLED: Mapping[str, str] = {
    "iterations": "turns", "llm_calls": "model calls", "tool_calls": "tool calls", "handoffs": "handoffs",
    "tokens": "tokens", "runs": "runs", "same_calls": "same calls", "cycle": "rounds", "errors": "errors",
    "no_progress": "equal results", "news": "news",
}  # fmt: skip
_SUBJECTS: Mapping[str, str] = {
    **_SPELLED, "depth": "depth", "seconds": "time", "usd": "cost",
}  # fmt: skip
_FORBIDDEN = ("iterations", "llm_calls", "tool_calls", "depth", "handoffs", "tokens", "usd", "runs")
"""`no tool calls` could mean that none may be made; `no deadline` cannot."""
_SECONDS: Mapping[str, float] = {
    "ms": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60,
    "h": 3_600, "hr": 3_600, "hour": 3_600, "d": DAY, "day": DAY, "week": 7 * DAY,
}  # fmt: skip
_THOUSANDS: Mapping[str, int] = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6}

_BETWEEN = re.compile(r"(?<!\d),|,(?!\d{3}(?!\d))|;|\n|\band\b")
_NUMBER = re.compile(r"\d[\d_,]*(?:\.\d+)?|\.\d+")
_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*")
_NONE = re.compile(r"(?:no|without|unlimited)(?:\s+limits?\s+(?:on|of|for))?\s+(.+?)(?:\s+limits?)?")
_EARLY = re.compile(r"(?:warn )?(?:at )?(\d+(?:\.\d+)?) ?%")
_WINDOW = re.compile(r"(no )?(session|tenant) window ?(.*)")


class _Part(NamedTuple):
    """One part of the text, taken apart."""

    text: str
    """As it was written."""
    said: str
    """How much of what: lower case, single spaces."""
    scope: str
    window: str
    mode: Mode | None


def read(limits: Limits | str) -> Limits:
    """Limits as they are, or from their text. Raises SettingsError."""
    if isinstance(limits, str):
        return parse(limits)
    if isinstance(limits, Limits):
        return limits
    raise SettingsError("limits", limits, 'Limits(…), or a text as "15 turns, $1, 60s"')


def parse(text: str, onto: Limits | None = None) -> Limits:
    """The limits that a text states, in place of those of `onto` (the shipped ones). Raises SettingsError."""
    limits = Limits() if onto is None else onto
    windows: dict[str, str] = {}
    for written in _BETWEEN.split(text):
        if not written.strip():
            continue
        part = _taken_apart(written.strip())
        limits = _stated(limits, part)
        if part.window:
            if windows.setdefault(part.scope, part.window) != part.window:
                _refuse(part, f"one window a scope: {part.scope} has {windows[part.scope]} already")
            limits = _with(limits, f"{part.scope}_window", _window(part, part.window))
    return limits


def spell(limits: Limits, *, whole: bool = False) -> str:
    """The text that states these limits: what differs from the shipped ones, or all with `whole`.

    `parse` reads the same limits from it. Policies of single tools (`Loops.tools`) have no words, and are left out.
    """
    return ", ".join([*_figures(limits, whole), *_rest(limits), *_loops(limits.loops, whole)])


# ---- reading --------------------------------------------------------------------------------------------------------


def _taken_apart(written: str) -> _Part:
    text = re.sub(r"\s+per\s+", "/", re.sub(r"\s+", " ", written.lower()).replace("hand-off", "handoff"))
    said, colon, word = text.partition(":")
    said, *scopes = (piece.strip() for piece in said.split("/"))
    named = [piece for piece in scopes if piece in _IN]
    others = [piece for piece in scopes if piece not in _IN]
    part = _Part(written, said, named[0] if named else "run", others[0] if others else "", None)
    if len(named) > 1 or len(others) > 1 or (others and part.scope not in ("session", "tenant")):
        _refuse(part, _scope_help(others))
    return part._replace(mode=_mode(part, word.strip())) if colon else part


def _scope_help(others: Sequence[str]) -> str:
    close = get_close_matches(others[0], _IN, 1) if others else []
    meant = f"did you mean /{close[0]}? " if close else ""
    return f"{meant}After the figure comes /call, /run, /session or /tenant, after the last two a window: /tenant/day"


def _mode(part: _Part, word: str) -> Mode:
    plain = word.replace(" ", "_").replace("-", "_")
    for mode in MODES:
        if plain == mode:
            return mode
    close = get_close_matches(plain, MODES, 1)
    return _refuse(
        part, f"{f'did you mean {close[0]}? ' if close else ''}after the colon comes one of {', '.join(MODES)}"
    )


def _stated(limits: Limits, part: _Part) -> Limits:
    """The limits with this part in its place."""
    other = _other(limits, part)
    if other is not None:
        return other
    if (none := _NONE.fullmatch(part.said)) is not None and (field := _named(none[1])):
        if "limit" not in part.said and field in _FORBIDDEN:
            _refuse(part, f"say no limit on {none[1]}, or that there may be none: {_amount(field, 0)}")
        return _set(limits, part, field, None)
    if field := _named(part.said):
        return _set(limits, part, field, ...)
    return _set(limits, part, *_figure(part))


def _other(limits: Limits, part: _Part) -> Limits | None:
    """The limits with this part in its place, where it is no figure; None where it is one."""
    if (window := _WINDOW.fullmatch(part.said)) is not None:
        return _with(limits, f"{window[2]}_window", None if window[1] else _window(part, window[3]))
    if (early := _EARLY.fullmatch(part.said)) is not None:
        return _with(limits, "early", tuple(sorted({*limits.early, float(early[1]) / 100})))
    if part.said in ("loops", "loop detection") and part.mode is not None:
        return _with(limits, "loops", msgspec.structs.replace(limits.loops, mode=part.mode))
    if part.said in ("no loops", "no loop detection"):
        return _with(limits, "loops", _undetected(limits.loops))
    if part.said in ("allow when unavailable", "refuse when unavailable"):
        return _with(limits, "unavailable", part.said.partition(" ")[0])
    return _with(limits, "strict", value=True) if part.said == "strict" else None


def _with(limits: Limits, name: str, value: Any) -> Limits:
    changes: dict[str, Any] = {name: value}
    return replace(limits, **changes)


def _set(limits: Limits, part: _Part, field: str, figure: Any) -> Limits:
    """One figure, and its mode where one is stated; `...` leaves the figure as it is."""
    if field in _LOOPS or field == "repeats":
        return replace(limits, loops=_looping(limits.loops, part, field, figure))
    if field not in _IN[part.scope]:
        fitting = " or ".join(f"/{scope}" for scope, fields in _IN.items() if field in fields)
        _refuse(part, f"{_SUBJECTS[field]} can be limited {fitting}; a {part.scope}: {_listed(_IN[part.scope])}")
    name = field if part.scope == "run" else f"{part.scope}_{field}"
    if figure is ... and part.mode is None:
        _refuse(part, f"say how much, as in {EXAMPLES}")
    if part.mode is not None:
        limits = replace(limits, modes={**limits.modes, name: part.mode})
    return limits if figure is ... else _with(limits, name, figure)


def _looping(loops: Loops, part: _Part, field: str, figure: Any) -> Loops:
    if figure is ... or part.scope != "run" or (figure is not None and figure < 1):
        _refuse(
            part, "what repeats is counted in a run, from 1, as in 3 same calls, 4 repeats: stop, 3 rounds, 5 errors"
        )
    if field == "repeats":
        if part.mode not in _RUNGS:
            _refuse(part, f"say what the repeats lead to, as in 3 repeats: block; one of {', '.join(_RUNGS)}")
        return msgspec.structs.replace(loops, **{str(part.mode): figure})
    if part.mode is not None:
        _refuse(part, f"what loops lead to is one word for all of them, as in loops: {part.mode}")
    return msgspec.structs.replace(loops, **{field: figure})


def _figure(part: _Part) -> tuple[str, Any]:
    """Field and amount of `15 turns`, `depth 3`, `$1.50`, `5 min`."""
    if (seconds := _duration(part.said)) is not None:
        return "seconds", seconds
    number = _NUMBER.search(part.said)
    if number is None:
        _unknown(part, part.said)
    before, after = part.said[: number.start()].strip(), part.said[number.end() :].strip()
    suffix, _, rest = after.partition(" ")
    amount = Decimal(number[0].replace(",", "").replace("_", ""))
    if suffix in _THOUSANDS and (rest or before):
        amount, after = amount * _THOUSANDS[suffix], rest
    field = _named(f"{before} {after}".strip())
    if not field:
        _unknown(part, f"{before} {after}".strip())
    if field == "usd":
        return field, amount
    if field == "seconds":
        return field, float(amount)
    if amount != int(amount):
        _refuse(part, f"a whole number of {_SUBJECTS.get(field, field)}")
    return field, int(amount)


def _named(words: str) -> str:
    """The field that words stand for; empty when they stand for none."""
    plain = words.replace("_", " ").removeprefix("the ")
    for word in (plain, plain.removesuffix("s"), plain.removesuffix("es")):
        if word in _WORDS:
            return _WORDS[word]
    return ""


def _duration(text: str) -> float | None:
    """Seconds of `60s`, `5 min`, `1h 30m`; None when it is no time."""
    total, at = 0.0, 0
    while at < len(text):
        found = _TIME.match(text, at)
        unit = "" if found is None else found[2] if found[2] in _SECONDS else found[2].removesuffix("s")
        if found is None or unit not in _SECONDS:
            return None
        total += float(found[1]) * _SECONDS[unit]
        at = found.end()
    return round(total, 9) if text else None


def _window(part: _Part, word: str) -> float | None:
    if word == "ever":
        return None
    seconds = _SECONDS.get(word) or _duration(word)
    return seconds or _refuse(part, "a window is hour, day, week, a time such as 12h, or ever")


def _undetected(loops: Loops) -> Loops:
    return msgspec.structs.replace(loops, **dict.fromkeys((*_RUNGS, "same_calls", "cycle", "errors", "no_progress")))


def _unknown(part: _Part, words: str) -> NoReturn:
    known = [*_WORDS, *(f"{word}s" for word in _WORDS), *_SECONDS]
    close = get_close_matches(words, known, 1)
    _refuse(part, f"{f'did you mean {close[0]}? ' if close else ''}What can be said: {EXAMPLES}")


def _refuse(part: _Part, wanted: str) -> NoReturn:
    raise SettingsError("limits", part.text, wanted)


def _listed(fields: Sequence[str]) -> str:
    return ", ".join(_SUBJECTS[field] for field in fields)


# ---- writing --------------------------------------------------------------------------------------------------------


def _figures(limits: Limits, whole: bool) -> Iterator[str]:
    shipped = Limits()
    for scope, fields in _IN.items():
        for field in fields:
            name = field if scope == "run" else f"{scope}_{field}"
            figure, mode = getattr(limits, name), limits.modes.get(name)
            below = "" if scope == "run" else f"/{scope}"
            said = f": {mode}" if mode is not None else ""
            if figure is None:
                if getattr(shipped, name) is not None or said:
                    yield f"no {_SUBJECTS[field]} limit{below}{said}"
            elif whole or not isinstance(figure, Shipped):
                yield f"{_amount(field, figure)}{below}{said}"
            elif said:
                yield f"{_SUBJECTS[field]}{below}{said}"


def _rest(limits: Limits) -> Iterator[str]:
    for scope in ("session", "tenant"):
        window = getattr(limits, f"{scope}_window")
        if window != DAY:
            yield f"no {scope} window" if window is None else f"{scope} window {_time(window)}"
    for share in limits.early:
        yield f"warn at {_plain(round(share * 100, 6))}%"
    if limits.strict:
        yield "strict"
    if limits.unavailable == "allow":
        yield "allow when unavailable"


def _loops(loops: Loops, whole: bool) -> Iterator[str]:
    shipped = Loops()
    if _undetected(loops) == loops:
        yield "no loop detection"
        shipped = _undetected(shipped)
    for rung in _RUNGS:
        figure = getattr(loops, rung)
        if figure != getattr(shipped, rung) or (whole and figure):
            yield f"{_counted(figure, 'repeats')}: {rung}" if figure else f"no repeats: {rung}"
    for field in _LOOPS:
        figure = getattr(loops, field)
        if figure != getattr(shipped, field) or (whole and figure):
            yield _counted(figure, _SPELLED[field]) if figure else f"no {_SUBJECTS[field]} limit"
    if whole or loops.mode != shipped.mode:
        yield f"loops: {loops.mode}"


def _amount(field: str, figure: float | Decimal) -> str:
    match field:
        case "usd":
            whole, point, cents = _plain(figure).partition(".")
            return f"${whole}{point}{cents.ljust(2 * len(point), '0')}"
        case "seconds":
            return _time(float(figure))
        case "depth":
            return f"depth {_plain(figure)}"
        case "tokens":
            return f"{_short(figure)} tokens"
        case _:
            return _counted(figure, _SPELLED[field])


def _counted(figure: float | Decimal, words: str) -> str:
    return f"{_plain(figure)} {words.removesuffix('s') if figure == 1 and words != 'news' else words}"


def _short(figure: float | Decimal) -> str:
    for word, size in (("M", 10**6), ("k", 10**3)):
        if figure and figure % size == 0:
            return f"{_plain(figure / size)}{word}"
    return _plain(figure)


def _time(seconds: float) -> str:
    for unit, size in (("h", 3_600), (" min", 60)):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{_plain(seconds / size)}{unit}"
    return f"{_plain(seconds)}s"


def _plain(figure: float | Decimal) -> str:
    """A number without an exponent and without zeros that say nothing."""
    text = f"{Decimal(repr(float(figure)) if isinstance(figure, float) else figure):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
