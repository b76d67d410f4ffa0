"""A run drawn as a tree: one line a step, its figures in columns beside it.

Long runs are cut in the middle, and say how much is not shown. The name of a step gives way when the screen is narrow,
its figures do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from tachograph.cli import human
from tachograph.cli.draw.columns import Column, table
from tachograph.cli.pick import short
from tachograph.events.limit import LimitHit
from tachograph.fold.handoffs import Handing
from tachograph.fold.receipt import Receipt
from tachograph.fold.repeats import Repeats
from tachograph.fold.resumptions import Resumption
from tachograph.queries import wording
from tachograph.queries.run import RunDetail
from tachograph.queries.steps import Below, Step

HEAD, TAIL = 120, 40
"""Steps shown at the beginning and at the end of a run that has more than both."""
_HANDED: Mapping[str, str] = {
    "requested": "a person was asked for", "applied": "given to a person", "failed": "nobody could be reached",
}  # fmt: skip
_NO_FIGURES = (Text(), Text(), Text(), Text())
_KINDS = {"run": "bold", "llm": "magenta", "tool": "blue"}


def draw(detail: RunDetail, width: int, *, whole: bool = False) -> RenderableType:
    """The run: what it is, its tree, what repeats, what is missing. `whole` shows every step of a long one."""
    parts: list[RenderableType] = [_title(detail), _sums(detail), Text()]
    parts.append(_tree(detail, width, whole=whole))
    asides = (_repeats(detail.repeats), _limits(detail.limits), _handed(detail.handing), _scores(detail))
    remarks = [remark for told in (*asides, _losses(detail.receipt)) for remark in told]
    return Group(*parts, *([Text(), *remarks] if remarks else []))


def _title(detail: RunDetail) -> Text:
    run = detail.run
    words = Text.assemble(
        (human.line(run.name), "bold"), "  ",
        (human.line(wording.outcome(run.status, run.stop_reason)), human.STATUS_STYLES.get(run.status, "")),
        f"  {human.moment(run.started_at, seconds=True)}  {wording.duration(run.duration_ns)}  ",
        (short(run), "cyan"),
    )  # fmt: skip
    facts = (("session", run.session), ("agent", run.agent), ("project", run.project), ("from", run.source))
    named = "  ".join(f"{name} {human.line(value)}" for name, value in facts if value)
    return words.append(f"\n{named}", "dim") if named else words


def _sums(detail: RunDetail) -> Text:
    """Totals of the run and the runs below it: what the root of the tree adds up to."""
    below = detail.steps[0].below if detail.steps else Below()
    with_runs = f"{len(detail.children) + 1} runs · " if detail.children else ""
    counts = f"{wording.some(below.llm_calls, 'call')} · {wording.some(below.tool_calls, 'tool')}"
    unpriced = f" ({wording.some(below.unpriced, 'call')} without a price)" if below.unpriced else ""
    money = wording.money(below.cost, below.unpriced)
    return Text(f"{with_runs}{counts} · {_tokens(below)} tokens · {money}{unpriced}")


def _tokens(below: Below) -> str:
    if below.usage_missing and not below.input and not below.output:
        return wording.UNKNOWN
    return f"{'≥ ' if below.usage_missing else ''}{wording.short(below.input)} → {wording.short(below.output)}"


def _tree(detail: RunDetail, width: int, *, whole: bool) -> RenderableType:
    rows = list(_rows(detail))
    guides = _guides([depth for depth, *_ in rows])
    lines = [
        (Text.assemble((guide, "dim"), label), *figures)
        for guide, (_, label, *figures) in zip(guides, rows, strict=True)
    ]
    left_out = 0 if whole else max(0, len(lines) - HEAD - TAIL)
    if left_out:
        gap = Text.assemble(("│  ", "dim"), (f"… {left_out:,} more steps (--all shows them)", "dim"))
        lines = [*lines[:HEAD], (gap, Text(), Text(), Text(), Text()), *lines[len(lines) - TAIL :]]
    name, took, tokens, cost, mark = zip(*lines, strict=True)
    columns = (
        Column("", name, gives_way=True),
        Column("", took, right=True),
        Column("", tokens, right=True, keep=1),
        Column("", cost, right=True),
        Column("", mark, keep=2),
    )
    return table(columns, width, header=False)


def _rows(detail: RunDetail) -> Iterator[tuple[int, Text, Text, Text, Text, Text]]:
    """Depth, label and figures of each line: a step, or that the run went on, which stands before what came then."""
    later = list(detail.resumed)
    for step in detail.steps:
        while later and step.depth == 1 and step.run == detail.run.id and step.step > later[0].seq:
            yield 1, _resumed(later.pop(0)), *_NO_FIGURES
        yield step.depth, _label(step), *_figures(step)
    for each in later:
        yield 1, _resumed(each), *_NO_FIGURES


def _resumed(found: Resumption) -> Text:
    former = f"{wording.outcome(found.status, found.stop_reason)} {wording.duration(found.stood_ns)} before"
    by = f" by {human.line(found.by, 40)}" if found.by else ""
    return Text.assemble(("run", "bold"), (" goes on", "cyan"), by, (f"  {human.line(former, 120)}", "dim"))


def _guides(depths: Sequence[int]) -> list[str]:
    """The lines that lead to each step, from the depths of a tree told parents first."""
    found: list[str] = []
    later: set[int] = set()
    for depth in reversed(depths):
        later = {level for level in later if level <= depth}
        branch = "" if not depth else ("├─ " if depth in later else "└─ ")
        found.append("".join("│  " if level in later else "   " for level in range(1, depth)) + branch)
        later.add(depth)
    return found[::-1]


def _label(step: Step) -> Text:
    counted = step.kind == "iteration" and step.iteration is not None
    name = str(step.iteration) if counted else human.step_name(step.kind, step.name or "?")
    words = Text.assemble((step.kind, _KINDS.get(step.kind, "cyan")), " ", (name, "bold"))
    if step.status != "completed":
        outcome = wording.outcome(step.status, step.stop_reason or step.reason or "")
        words.append(f" {human.line(outcome, 120)}", human.STATUS_STYLES.get(step.status, ""))
    if step.attempt is not None and step.attempt > 1:
        words.append(f" attempt {step.attempt}", "yellow")
    if step.error is not None:
        words.append(f" {human.fault(step.error)}", "red")
    elif step.kind == "tool" and step.input:
        words.append(f" {human.line(step.input, 120)}", "dim")
    return words.append(" (its start was lost)", "red") if step.orphan else words


def _figures(step: Step) -> tuple[Text, Text, Text, Text]:
    tokens = cost = Text()
    if step.kind == "llm" and step.usage is not None:
        tokens = Text(f"{wording.short(step.usage.input_total)} → {wording.short(step.usage.output)}")
        cost = Text(wording.money(None if step.cost is None else step.cost.total))
    elif step.below.llm_calls:
        tokens = Text(_tokens(step.below), "dim")
        cost = Text(wording.money(step.below.cost, step.below.unpriced), "dim")
    return Text(wording.duration(step.duration_ns)), tokens, cost, _mark(step)


def _mark(step: Step) -> Text:
    if step.repeat is None:
        return Text()
    same = step.repeat.results < step.repeat.count
    return Text(f"{step.repeat.nth} of {step.repeat.count}×", "bold red" if same and step.repeat.nth > 1 else "yellow")


def _repeats(found: Repeats) -> Iterator[Text]:
    for repeat in found.repeated[:3]:
        results = "always the same result" if repeat.results == 1 else f"{repeat.results} different outcomes"
        yield Text(f"{human.line(repeat.tool)}: {repeat.count} times with the same arguments, {results}", "yellow")
    if found.cycle.rounds:
        tools = " → ".join(map(human.line, found.cycle.tools))
        yield Text(f"in circles: {tools}, {found.cycle.rounds} times", "yellow")


def _limits(hits: Sequence[LimitHit]) -> Iterator[Text]:
    for hit in hits:
        facts = f"{hit.mode}: {hit.scope} {hit.metric}, {hit.used:g} used of {hit.threshold:g}"
        yield Text(f"limit {human.line(facts)} {human.line(hit.reason, 100)}".rstrip(), "red")


def _handed(handing: Handing | None) -> Iterator[Text]:
    """What became of a hand-off to a person, for whoever waits for one."""
    if handing is not None:
        told = f": the customer is told “{human.line(handing.text, 200)}”" if handing.text else ""
        problem = f" ({human.line(handing.problem, 100)})" if handing.problem else ""
        yield Text(f"{_HANDED[handing.state]}{problem}{told}", "magenta")


def _scores(detail: RunDetail) -> Iterator[Text]:
    for score in detail.scores:
        value = score.label if score.value is None else f"{score.value:g}"
        comment = f"  {human.line(score.comment, 100)}" if score.comment else ""
        yield Text(
            f"score {human.line(score.name)}: {human.line(value or wording.UNKNOWN)} ({score.kind}){comment}", "dim"
        )


def _losses(receipt: Receipt) -> Iterator[Text]:
    """What is not as it was; nothing when the record is complete."""
    facts = (
        (receipt.missing, "events missing"),
        (receipt.dropped, "events could not be recorded"),
        (receipt.truncated, "contents cut"),
        (receipt.shed, "contents given up, the journal was full"),
        (len(receipt.open), "steps without an end"),
    )
    said = ", ".join(f"{number:,} {what}" for number, what in facts if number)
    if said:
        yield Text(f"not complete: {said} (--receipt tells more)", "yellow")
