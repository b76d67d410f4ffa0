"""Messages as a page shows them: each tool call with its result beside it, and what became of each content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from tachograph.events import ids
from tachograph.events.content import Content
from tachograph.fold.asks import Ask, answers
from tachograph.fold.transcript import links as paired
from tachograph.queries import wording
from tachograph.queries.transcript import Said
from tachograph.web import links
from tachograph.web.message import Part, decoded, parts

Row = Mapping[str, Any]


class Asked(Struct, frozen=True, kw_only=True):
    """A tool call: what was asked, what came back, what became of it."""

    name: str
    arguments: str
    result: tuple[Part, ...] = ()
    failed: bool = False
    seq: int | None = None
    """The message that carries the result."""
    notes: tuple[str, ...] = ()
    """What became of the result's content."""
    is_new: bool = True
    state: str = ""
    reason: str = ""
    took: int | None = None
    href: str = ""
    """To the step that ran it."""
    place: int = 0
    """Of the result among the parts of that message."""
    is_alone: bool = False
    """Whether the messages around it are not there."""


class Shown(Struct, frozen=True, kw_only=True):
    """One message."""

    seq: int
    role: str
    parts: tuple[Part, ...] = ()
    asks: tuple[Asked, ...] = ()
    notes: tuple[str, ...] = ()
    ephemeral: bool = False
    left_out: int | None = None
    """Bytes of a message that is too large to stand here; None when it stands here."""
    href: str = ""
    """To the whole message."""


class Layout:
    """Messages with results moved beside the calls that they answer."""

    def __init__(
        self,
        run: str,
        messages: Sequence[Said],
        by_call: Mapping[int, int | None],
        tools: Mapping[int, Sequence[Row]],
        trees: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._run, self._by_call, self._tools, self._trees = run, by_call, tools, trees
        self._messages = messages
        values = [decoded(each.text) for each in messages]
        self._all = [parts(value) for value in values]
        self._parts = [list(each) for each in self._all]
        self._places = {each.node: place for place, each in enumerate(messages)}
        self._results: dict[int, list[tuple[int, Part] | None]] = {}
        self._pair(values)

    def shown(self, messages: Iterable[Said]) -> tuple[Shown, ...]:
        """These messages, without those that stand beside their calls."""
        return tuple(each for message in messages if (each := self._shown(message)) is not None)

    def _pair(self, values: Sequence[Any]) -> None:
        """Each conversation for itself: after a hand-off or a compaction the same calls may stand in a second one."""
        places: dict[int | None, list[int]] = {}
        for place, message in enumerate(self._messages):
            places.setdefault(self._trees.get(message.node), []).append(place)
        for own in places.values():
            for link in paired([values[place] for place in own])[0]:
                answered = None if link.answered is None else own[link.answered]
                found = None if answered is None else self._taken(answered, link.ask)
                self._results.setdefault(own[link.asked], []).append(found)

    def _taken(self, answered: int, ask: Ask) -> tuple[int, Part] | None:
        held = self._parts[answered]
        place = _answering(held, ask.id, ask.name)
        return None if place is None else (answered, held.pop(place))

    def _shown(self, message: Said) -> Shown | None:
        place = self._places[message.node]
        left = self._parts[place]
        taken = [part for part in left if part.kind == "ask"]
        rest = tuple(part for part in left if part.kind != "ask")
        if not left and _held_results(decoded(message.text)):
            return None
        return self._laid(place, message, rest, taken)

    def whole(self, message: Said) -> Shown:
        """One message with all that it has."""
        place = self._places[message.node]
        taken = [part for part in self._parts[place] if part.kind == "ask"]
        rest = tuple(part for part in self._parts[place] if part.kind != "ask")
        return self._laid(place, message, rest, taken)

    def _laid(self, place: int, message: Said, rest: tuple[Part, ...], taken: Sequence[Part]) -> Shown:
        kept = message.text is not None
        return Shown(
            seq=message.node,
            role=message.role,
            parts=rest,
            asks=tuple(self._asks(place, message, taken)),
            notes=notes(message.content),
            ephemeral=message.ephemeral,
            left_out=message.content.size if not kept and not message.whole else None,
            href=links.message(self._run, message.node),
        )

    def _asks(self, place: int, message: Said, asked: Sequence[Part]) -> Iterator[Asked]:
        call = self._by_call.get(message.node)
        rows = list(self._tools.get(call, ())) if call is not None else []
        results = self._results.get(place, [])
        for number, part in enumerate(asked):
            row = _row_of(rows, part)
            found = results[number] if number < len(results) else None
            yield self._asked(part, row, found)

    def _asked(self, part: Part, row: Row | None, found: tuple[int, Part] | None) -> Asked:
        message = None if found is None else self._messages[found[0]]
        result = None if found is None else found[1]
        facts: dict[str, Any] = {}
        if row is not None:
            facts = {
                "state": row["state"], "reason": row["reason"] or "", "took": row["duration_ns"],
                "href": links.step(ids.step_id(self._run, row["step"])),
            }  # fmt: skip
        return Asked(
            name=part.name,
            arguments=part.text,
            result=() if result is None else result.parts,
            failed=result is not None and result.failed,
            seq=None if message is None else message.node,
            notes=() if message is None else notes(message.content),
            place=0 if found is None else self._place(*found),
            is_alone=len(self._messages) == 1,
            **facts,
        )

    def _place(self, answered: int, part: Part) -> int:
        """Where a part stands in its message, calls not counted."""
        others = (each for each in self._all[answered] if each.kind != "ask")
        return next((place for place, each in enumerate(others) if each is part), 0)


def _answering(held: Sequence[Part], wanted: str | None, name: str | None) -> int | None:
    """Which of these parts answers the call: the one with its id, else with its name, else the first result."""
    results = [(place, part) for place, part in enumerate(held) if part.kind == "result"]
    tests = (
        lambda part: wanted is not None and part.id == wanted,
        lambda part: name is not None and part.name == name,
        lambda part: True,
    )
    return next((place for test in tests for place, part in results if test(part)), None)


def _held_results(message: Any) -> bool:
    return bool(answers(message))


def _row_of(rows: list[Row], part: Part) -> Row | None:
    """The row of a tool call, which is then no other's: by the provider's id, else by name."""
    by_id = (row for row in rows if part.id and row["call_id"] == part.id)
    by_name = (row for row in rows if row["name"] == part.name)
    found = next(by_id, None) or next(by_name, None)
    if found is not None:
        rows.remove(found)
    return found


def notes(content: Content) -> tuple[str, ...]:
    """What became of a content when it was recorded, as sentences; none for one that is as it was."""
    return tuple(_notes(content))


def _notes(content: Content) -> Iterator[str]:
    size = f" of {wording.size(content.size)}" if content.size else ""
    match content.level:
        case "hashed":
            yield f"Only the hash{size} was kept"
        case "none" if "shed" not in content.marks:
            yield f"Text{size} was not kept"
        case "pending":
            yield "Waits to be masked, then it is shown"
    if content.full_size is not None:
        yield f"Cut when it was recorded: {wording.size(content.size)} of {wording.size(content.full_size)} were kept"
    for rule, times in (content.redacted or {}).items():
        yield f"Masked: {rule}{f' × {times}' if times > 1 else ''}"
    if "shed" in content.marks:
        yield "Given up because the journal was full"
    replaced = [mark for mark in content.marks if mark != "shed"]
    if replaced:
        yield f"Replaced when it was recorded: {', '.join(replaced)}"
