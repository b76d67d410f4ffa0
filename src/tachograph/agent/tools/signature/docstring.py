"""Docstrings: what a function is for, and what its parameters are, in the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_GOOGLE = re.compile(
    r"(?:args|arguments|parameters|params|keyword args|keyword arguments|other parameters):", re.IGNORECASE
)
_NUMPY = re.compile(r"(?:other )?parameters|args|arguments", re.IGNORECASE)
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NAMES = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_FIELD = re.compile(r":\w+[^:]*:")
_RULE = re.compile(r"-{3,}\s*")


class Doc(NamedTuple):
    """What a docstring says."""

    summary: str
    """Its first paragraph, on one line."""
    parameters: dict[str, str]
    """Parameter → its description, on one line."""


def read(text: str | None) -> Doc:
    """A docstring, read. What is in none of the three styles is no description of a parameter."""
    lines = inspect.cleandoc(text or "").splitlines()
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if _GOOGLE.fullmatch(line.strip()):
            found.update(_google(lines[number + 1 :], _indent(line)))
        elif _NUMPY.fullmatch(line.strip()) and _RULE.fullmatch(below.strip()):
            found.update(_numpy(lines[number + 2 :]))
        elif match := _SPHINX.match(line.strip()):
            more = _until(lines[number + 1 :], lambda one: not one.strip() or bool(_FIELD.match(one.strip())))
            found[match[1]] = [match[2], *more]
    return Doc(_joined(_summary(lines)), {name: said for name, said in _texts(found) if said})


def _summary(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        section = _GOOGLE.fullmatch(line.strip()) or _RULE.fullmatch(below.strip()) or _FIELD.match(line.strip())
        if not line.strip() or section:
            return
        yield line


def _google(lines: list[str], indent: int) -> dict[str, list[str]]:
    """The entries below `Args:`: everything indented deeper than it; an entry's further lines deeper still."""
    found: dict[str, list[str]] = {}
    level: int | None = None
    said: list[str] = []
    for line in _until(lines, lambda one: bool(one.strip()) and _indent(one) <= indent):
        if not line.strip():
            continue
        level = _indent(line) if level is None else level
        entry = _ENTRY.fullmatch(line.strip()) if _indent(line) == level else None
        if entry:
            said = found.setdefault(entry[1], [])
            said.append(entry[2])
        else:
            said.append(line)
    return found


def _numpy(lines: list[str]) -> dict[str, list[str]]:
    """The entries below a ruled `Parameters`, up to the next ruled heading."""
    found: dict[str, list[str]] = {}
    said: list[list[str]] = []
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if _RULE.fullmatch(below.strip()):
            break
        names = _NAMES.fullmatch(line) if line.strip() and not _indent(line) else None
        if names:
            said = [found.setdefault(name.strip(" *"), []) for name in names[1].split(",")]
        else:
            for one in said:
                one.append(line)
    return found


def _until(lines: list[str], ends: Callable[[str], bool]) -> list[str]:
    end = next((number for number, line in enumerate(lines) if ends(line)), len(lines))
    return lines[:end]


def _texts(found: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    return ((name, _joined(lines)) for name, lines in found.items())


def _joined(lines: Iterator[str] | list[str]) -> str:
    return " ".join(" ".join(lines).split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
