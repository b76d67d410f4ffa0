"""One step, whole: what went in, what came out, what went wrong, and each attempt that was made.

Texts come from rows, found by key; what only the log knows (how a text was recorded, where an error came from) from a
bounded stretch of it. So it costs the same wherever in a run the step is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from tachograph.errors import NotFound
from tachograph.events import ids
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.fold.steps import closes
from tachograph.queries.answers.limits import ReachedLimit, reached
from tachograph.queries.answers.runs import RunOverview, overviews
from tachograph.queries.find import find
from tachograph.queries.logs.call_rows import COLUMNS as CALL_COLUMNS
from tachograph.queries.logs.call_rows import LlmCallLog, llm_call_logs
from tachograph.queries.logs.contents import DETAIL_BYTES, Piece, both, piece, tool_results
from tachograph.queries.logs.failures import ErrorDetail, failure
from tachograph.queries.logs.keys import Row
from tachograph.queries.runs import Run
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

LARGE = 32_768
"""Bytes beyond which a text is given only when it is asked for by name."""
MOST_TEXT = 8_388_608
"""Bytes of texts that are given together."""
_FOLLOWING = 2_000
"""Events behind its start in which a step's end is looked for, and what repeats it."""
_TAIL = 300
_MESSAGES = 12
"""Messages of a request, and of a reply, that are given: the newest."""
_MOST = 50
"""Attempts, limits and runs that are given."""


class Named(Struct, frozen=True, kw_only=True):
    """A step beside this one."""

    id: str
    step: int
    kind: str
    name: str


class Text(Struct, frozen=True, kw_only=True):
    """A recorded content of a step."""

    name: str
    """What it is asked for by: input, output, metadata, sent-1, …"""
    role: str = ""
    """Of a message: who said it."""
    text: str | None
    """As recorded; None where it was not kept, or is large and was not asked for."""
    size: int | None
    """Bytes that are kept; None where none are."""
    how: Content | None = None
    """How it was recorded, where the log was asked."""


class Asked(Struct, frozen=True, kw_only=True):
    """What a tool call was asked for by."""

    call_id: str | None
    classification: str
    position: int
    requested_by: Named | None


class StepDetails(Struct, frozen=True, kw_only=True):
    """A step."""

    id: str
    run: Run
    seq: int
    kind: str
    name: str
    status: str
    reason: str
    """Why it ended so, where that is known."""
    agent: str | None
    action: str | None
    iteration: int | None
    started_at: int
    duration_ns: int | None
    begin_ns: int
    """Since the start of its run."""
    parent: Named | None
    error: ErrorDetail | None
    attempts: tuple[LlmCallLog, ...]
    """Of a model call: all attempts at it. Of another step: the model calls directly below it."""
    asked: Asked | None
    limits: tuple[ReachedLimit, ...]
    """That were reached in it."""
    runs: tuple[RunOverview, ...]
    """That it started."""
    texts: tuple[Text, ...]


def step(store: Reading, run: str, name: str, whole: str = "") -> StepDetails:
    """The step `name` (an id or a number) of the run that `run` means; the text `whole` is given whatever its size.

    Raises NotFound, Ambiguous.
    """
    found = find(store, run)
    seq = _number(found.id, name)
    rows = store.find(Query("steps", (Where("run_id", "eq", found.id), Where("step", "eq", seq)), _STEP, limit=1)).rows
    if not rows:
        raise NotFound("step", name)
    return _Details(store, found, rows[0]).tell(whole)


def text(store: Reading, run: str, name: str, part: str) -> str:
    """One text of a step, whole. Raises NotFound where it is not there, or was not kept."""
    for each in step(store, run, name, part).texts:
        if each.name == part and each.text is not None:
            return each.text
    raise NotFound("text of the step", part)


def _number(run: str, name: str) -> int:
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    try:
        named, seq = ids.split_step_id(name)
    except ValueError:
        raise NotFound("step", name) from None
    if named != run:
        raise NotFound("step", name)
    return seq


_STEP = (
    "run", "step", "parent", "kind", "name", "agent_type", "action_type", "iteration", "status", "started_at",
    "duration_ns", "error_type", "error_category", "error_message", *both("input"), *both("output"), *both("metadata"),
)  # fmt: skip
_RUN = (*both("input"), *both("output"), *both("metadata"))
_TOOL = (
    "state", "reason", "call_id", "requested_by", "position", "classification", "result_node", *both("arguments"),
    *both("result"),
)  # fmt: skip
_CALL = (*CALL_COLUMNS, "input_node", "output_node", *both("tools"), *both("params"))


class _Details:
    """Puts a step together from its row and those that belong to it."""

    def __init__(self, store: Reading, run: Run, row: Row) -> None:
        self._store, self._run, self._row = store, run, row
        self._pk, self._seq = row["run"], row["step"]

    def tell(self, whole: str) -> StepDetails:
        row = self._row
        opening, closing = self._events()
        traceback = getattr(getattr(closing, "error", None), "traceback", None)
        tool = self._own("tool_calls", _TOOL) if row["kind"] == "tool" else None
        call = self._own("calls", _CALL) if row["kind"] == "llm" else None
        pieces, hows = self._pieces(tool, call), {**_contents(opening), **_contents(closing)}
        return StepDetails(
            id=ids.step_id(self._run.id, self._seq), run=self._run, seq=self._seq, kind=row["kind"], name=row["name"],
            status=tool["state"] if tool else row["status"],
            reason=(tool["reason"] if tool else self._run.stop_reason if not self._seq else "") or "",
            agent=row["agent_type"], action=row["action_type"], iteration=row["iteration"],
            started_at=row["started_at"], duration_ns=row["duration_ns"],
            begin_ns=max(0, row["started_at"] - self._run.started_at),
            parent=self._named(row["parent"]) if self._seq else None,
            error=failure(row, traceback), attempts=self._attempts(call),
            asked=None if tool is None else self._asked(tool), limits=self._limits(), runs=self._runs(),
            texts=tuple(_texts(self._store, pieces, hows, whole)),
        )  # fmt: skip

    def _own(self, table: str, columns: tuple[str, ...]) -> Row | None:
        where = (Where("run", "eq", self._pk), Where("step", "eq", self._seq))
        return next(iter(self._store.find(Query(table, where, columns, limit=1)).rows), None)

    def _named(self, seq: int | None) -> Named | None:
        if seq is None:
            return None
        where = (Where("run", "eq", self._pk), Where("step", "eq", seq))
        for row in self._store.find(Query("steps", where, ("step", "kind", "name"), limit=1)).rows:
            return Named(id=ids.step_id(self._run.id, seq), step=seq, kind=row["kind"], name=row["name"])
        return None

    def _asked(self, tool: Row) -> Asked:
        return Asked(
            call_id=tool["call_id"],
            classification=tool["classification"],
            position=tool["position"],
            requested_by=self._named(tool["requested_by"]),
        )

    def _limits(self) -> tuple[ReachedLimit, ...]:
        return reached(self._store, Where("run", "eq", self._pk), Where("step", "eq", self._seq), limit=_MOST)

    def _runs(self) -> tuple[RunOverview, ...]:
        if not self._seq:
            return ()
        where = (Where("parent_run", "eq", self._run.id), Where("parent_step", "eq", self._seq))
        return overviews(self._store, *where, limit=_MOST)

    # ---- its events -------------------------------------------------------------------------------------------------

    def _events(self) -> tuple[object, object]:
        """The bodies of its start and of its end, None where they are not near."""
        opening = next(iter(self._store.read(self._run.id, self._seq - 1, 1)), None)
        closing: Event | None = None
        if self._seq:
            near = self._store.read(self._run.id, self._seq, _FOLLOWING)
            closing = next((event for event in near if closes(event) == self._seq), None)
        if closing is None:
            after = max(self._seq, self._run.events - 1 - _TAIL)
            tail = [event for event in self._store.read(self._run.id, after) if closes(event) == self._seq]
            closing = tail[-1] if tail else None
        return None if opening is None else opening.body, None if closing is None else closing.body

    # ---- attempts ---------------------------------------------------------------------------------------------------

    def _attempts(self, call: Row | None) -> tuple[LlmCallLog, ...]:
        if not self._seq:
            return ()
        rows = self._below() if call is None else self._tried(call)
        return tuple(llm_call_logs(self._store, rows, DETAIL_BYTES))

    def _below(self) -> Sequence[Row]:
        where = (Where("run", "eq", self._pk), Where("step", "gt", self._seq), Where("parent", "eq", self._seq))
        near = Where("step", "le", self._seq + _FOLLOWING)
        return self._store.find(Query("calls", (*where, near), CALL_COLUMNS, order=("step",), limit=_MOST)).rows

    def _tried(self, call: Row) -> Sequence[Row]:
        """The first attempt at it and all that repeat it."""
        first = call
        for _ in range(_MOST):
            if first["retry_of"] is None:
                break
            where = (Where("run", "eq", self._pk), Where("step", "eq", first["retry_of"]))
            before = self._store.find(Query("calls", where, CALL_COLUMNS, limit=1)).rows
            if not before:
                break
            first = before[0]
        at = first["step"]
        near = (Where("run", "eq", self._pk), Where("step", "gt", at), Where("step", "le", self._seq + _FOLLOWING))
        again = Query("calls", (*near, Where("attempt", "gt", 1)), CALL_COLUMNS, order=("step",), limit=_FOLLOWING)
        tried, known = [first], {at}
        for row in self._store.find(again).rows:
            if row["retry_of"] in known:
                tried.append(row)
                known.add(row["step"])
        return tried[:_MOST]

    # ---- texts ------------------------------------------------------------------------------------------------------

    def _pieces(self, tool: Row | None, call: Row | None) -> dict[str, tuple[str, Piece]]:
        """Name → role and piece."""
        row = self._row if self._seq else self._run_row()
        pieces = {"input": ("", piece(row, "input")), "output": ("", piece(row, "output"))}
        if tool is not None:
            pieces = {"input": ("", piece(tool, "arguments")), "output": ("", tool_results(self._store, [tool])[0])}
        if call is not None:
            pieces = {**self._said(call), "tools": ("", piece(call, "tools")), "params": ("", piece(call, "params"))}
        pieces["metadata"] = "", piece(row, "metadata")
        return {name: each for name, each in pieces.items() if each[1] != Piece(None, None)}

    def _run_row(self) -> Row:
        """What went into a run and came out of it stands in its own row."""
        return self._store.find(Query("runs", (Where("pk", "eq", self._pk),), _RUN, limit=1)).rows[0]

    def _said(self, call: Row) -> dict[str, tuple[str, Piece]]:
        """Messages that were sent since the model spoke last, and the reply."""
        sent: list[tuple[str, Piece]] = []
        for row in self._path(call["input_node"], None):
            if row["role"] == "assistant" and sent:
                break
            sent.append((row["role"], Piece(None, row["payload"] or None)))
        reply = self._path(call["output_node"], call["input_node"])
        came = [(row["role"], Piece(None, row["payload"] or None)) for row in reply]
        return {
            **{f"sent-{place}": each for place, each in enumerate(reversed(sent), 1)},
            **{f"reply-{place}": each for place, each in enumerate(reversed(came), 1)},
        }

    def _path(self, node: int | None, end: int | None) -> Iterator[Row]:
        for _ in range(_MESSAGES):
            if not node or node == end:
                return
            where = (Where("id", "eq", node),)
            rows = self._store.find(Query("nodes", where, ("id", "parent", "payload", "role"), limit=1)).rows
            if not rows:
                return
            yield rows[0]
            node = rows[0]["parent"]


def _contents(body: object) -> dict[str, Content]:
    """How the contents of an event were recorded, by the name that they have here."""
    found = ((_NAMES.get(name, name), getattr(body, name)) for name in getattr(body, "__struct_fields__", ()))
    return {name: value for name, value in found if isinstance(value, Content)}


_NAMES = {"arguments": "input", "result": "output"}


def _texts(
    store: Reading, pieces: Mapping[str, tuple[str, Piece]], hows: Mapping[str, Content], whole: str
) -> Iterator[Text]:
    numbers = tuple({found.payload for _, found in pieces.values() if found.payload is not None and found.text is None})
    known: Mapping[int, Row] = {}
    if numbers:
        query = Query("payloads", (Where("id", "in", numbers),), ("id", "hash", "size"), limit=None)
        known = {row["id"]: row for row in store.find(query).rows}
    asked = {found.payload for name, (_, found) in pieces.items() if name == whole}
    wanted, spent = [], 0
    for number, row in sorted(known.items(), key=lambda each: each[1]["size"]):
        spent += row["size"]
        if number in asked or (row["size"] <= LARGE and spent <= MOST_TEXT):
            wanted.append(row["hash"])
    texts = store.fetch(wanted) if wanted else {}
    for name, (role, found) in pieces.items():
        how = hows.get(name)
        if found.text is not None:
            yield Text(name=name, role=role, text=found.text, size=len(found.text.encode()), how=how)
            continue
        row = known.get(found.payload or 0, {})
        kept = texts.get(row.get("hash", b""))
        said = None if kept is None else kept.decode("utf-8", "replace")
        yield Text(name=name, role=role, text=said, size=row.get("size"), how=how)
