"""What lists have in common: a form of conditions, the active ones as chips, the way to other pages, the count.

All of it follows from what was asked: a condition that is not the default stands in the address, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tachograph.queries.pages import Listing
from tachograph.web import links

PAGING = ("cursor", "offset")
"""Parameters that say which page: left out where another question is asked."""
_PARTS = ("part", "counted", "ids", "longest")


class Field(Struct, frozen=True, kw_only=True):
    """A condition as the form asks for it."""

    name: str
    """Of its parameter."""
    label: str
    kind: Literal["search", "text", "choice", "flag"] = "text"
    choices: tuple[tuple[str, str], ...] = ()
    """Values of a choice with their words; of a text, what may be meant."""
    hint: str = ""
    is_rare: bool = False
    """Whether it is folded until somebody uses it."""
    default: str = ""
    """What holds when nothing is said; such a field leaves no rows out."""
    nothing: str = "any"
    """What a choice without a default is called while nothing is chosen."""


class Control(Struct, frozen=True):
    """A field with its value."""

    field: Field
    value: str


class Chip(Struct, frozen=True):
    """A condition that holds, and the page without it."""

    label: str
    value: str
    without: str


class Conditions(Struct, frozen=True, kw_only=True):
    """The form of a list."""

    path: str
    usual: tuple[Control, ...]
    rare: tuple[Control, ...]
    chips: tuple[Chip, ...]
    cleared: str
    """The list without any condition."""

    @property
    def folded(self) -> int:
        """How many rare conditions are in use."""
        return sum(control.value != control.field.default for control in self.rare)


class Pager(Struct, frozen=True, kw_only=True):
    """The way to other pages; None where there is none."""

    first: str | None
    previous: str | None
    next: str | None
    words: tuple[str, str, str]
    """What these three are called."""


class Count(Struct, frozen=True, kw_only=True):
    """How many rows there are on all pages."""

    thing: str
    """What is counted, in the singular."""
    known: int | None
    whole: str
    """The same page with its count."""
    part: str
    """The count alone."""


def asked_of(asked: Struct, leave: Iterable[str] = ()) -> dict[str, str]:
    """The parameters that are not what they are by default, as an address says them."""
    left = {*_PARTS, *leave}
    fields = {field.name: field.default for field in msgspec.structs.fields(asked)}
    values = {name: getattr(asked, name) for name in fields if name not in left}
    return {name: _text(value) for name, value in values.items() if value != fields[name]}


def conditions(path: str, asked: Struct, fields: Sequence[Field]) -> Conditions:
    """The form with what was asked, and a chip for each condition."""
    given = asked_of(asked, PAGING)
    controls = [Control(field, given.get(field.name, field.default)) for field in fields]
    views = [field.name for field in fields if field.default]
    return Conditions(
        path=path,
        usual=tuple(control for control in controls if not control.field.is_rare),
        rare=tuple(control for control in controls if control.field.is_rare),
        chips=tuple(
            Chip(control.field.label, _word(control), links.again(path, given, **{control.field.name: None}))
            for control in controls
            if control.value and not control.field.default
        ),
        cleared=links.to(path, **{name: given[name] for name in views if name in given}),
    )


def pager(path: str, asked: Struct, found: Listing[Any]) -> Pager:
    """Where one can go from a page that holds these rows."""
    given = asked_of(asked, PAGING)
    is_first = asked_of(asked).keys().isdisjoint(PAGING)
    return Pager(
        words=_PAGES.get(getattr(asked, "order", "newest"), ("First", "Previous", "Next")),
        first=None if is_first else links.to(path, **given),
        previous=found.previous_cursor and links.again(path, given, cursor=found.previous_cursor),
        next=found.next_cursor and links.again(path, given, cursor=found.next_cursor),
    )


def count(path: str, asked: Struct, found: Listing[Any], thing: str, counted: int | None = None) -> Count:
    """The count of a list: known when somebody counted, or when all rows are on the page."""
    is_whole = found.next_cursor is None and found.previous_cursor is None
    if counted is None and is_whole and asked_of(asked).keys().isdisjoint(PAGING):
        counted = len(found.rows)
    given = asked_of(asked)
    return Count(
        thing=thing,
        known=counted,
        whole=links.again(path, given, counted=True),
        part=links.again(path, asked_of(asked, PAGING), part="count"),
    )


def words(*pairs: str) -> tuple[tuple[str, str], ...]:
    """Choices whose values are the words."""
    return tuple((word, word.replace("_", " ")) for word in pairs)


ROWS = Field(
    name="limit", label="Rows", kind="choice", choices=words("20", "50", "100", "200"), default="50", is_rare=True
)
"""How many rows a page has."""


_PAGES = {"newest": ("Newest", "Newer", "Older"), "oldest": ("Oldest", "Older", "Newer")}


def _word(control: Control) -> str:
    if control.field.kind == "flag":
        return "yes"
    said = dict(control.field.choices) if control.field.kind == "choice" else {}
    return said.get(control.value, control.value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
