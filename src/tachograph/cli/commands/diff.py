"""`tachograph diff`: two runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from tachograph.cli import human, options
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.columns import Column, table
from tachograph.cli.pick import digits, pick
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.queries import wording
from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.diff import words
from tachograph.queries.diff.answer import DiffAsked, RunDiff, StepPair, run_diff
from tachograph.queries.diff.steps import DiffStep

app = command_app()

_STYLES = {"same": "dim", "changed": "yellow", "only_left": "red", "only_right": "green"}
_MOST = 500
_RUN = "`last`, an id from `tachograph ls`, or the start of one."


@app.command(cls=QuickCommand)
@command
def diff(
    terminal: Terminal,
    a: Annotated[str, typer.Argument(metavar="A", help=f"A run: {_RUN}")],
    b: Annotated[str, typer.Argument(metavar="B", help="The run to compare it with.")],
    *,
    everything: Annotated[bool, typer.Option("--all", help="Equal steps, too.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help=f"Most rows to show, up to {_MOST}.")] = 100,
    offset: Annotated[int, typer.Option("--offset", help="Rows to leave out before the first.")] = 0,
) -> None:
    """Compare two runs: where they part first, what that did to tokens, cost and time, and which steps differ.

    Steps are aligned by what was asked of them. With --json: one object, in which A is `left`.
    """
    left, right = pick(terminal.store, a), pick(terminal.store, b)
    found = run_diff(
        terminal.store,
        DiffAsked(
            left=left.id,
            right=right.id,
            context=None if everything else 1,
            limit=min(options.positive("--limit", limit), _MOST),
            offset=max(0, offset),
        ),
    )
    if terminal.json:
        terminal.give(found)
    else:
        terminal.show(*draw(found, terminal.out.width))


def draw(found: RunDiff, width: int) -> Iterator[Any]:
    """Both runs, where they part, the totals, and the rows."""
    for title, run in zip(words.SIDES, (found.left, found.right), strict=True):
        yield _run(title, run)
    for remark in words.remarks(found.left, found.right):
        yield Text(remark, "dim")
    yield Text()
    yield _parting(found)
    yield Text()
    yield _totals(found, width)
    if found.pairs:
        yield Text()
        yield _rows(found.pairs, width)
    shown = found.offset + len(found.pairs)
    if shown < found.total_count:
        yield Text(f"… {found.total_count - shown:,} more rows (--offset {shown})", "dim")


def _run(title: str, run: RunOverview) -> Text:
    how = wording.outcome(run.status, run.stop_reason)
    text = Text(f"{title}  ", "bold").append(digits(run.execution_id), "cyan")
    text.append(f"  {human.line(run.name)}  ").append(human.line(how), human.STATUS_STYLES.get(run.status, ""))
    return text.append(f"  {run.start_time:%Y-%m-%d %H:%M:%S} UTC", "dim")


def _parting(found: RunDiff) -> Text:
    if found.divergence is None:
        return Text(f"They do not part: {wording.some(found.same, 'step')} the same.")
    where = words.parting(found.divergence)
    place = f"They part at step {where.place:,} of {words.count_of(found):,}: {where.before} "
    counts = f"{found.same:,} same · {found.changed:,} changed · {found.only_left:,} only in A"
    told = Text(place).append(human.line(where.name), "bold").append(f" {where.after}")
    return told.append(f"\n{counts} · {found.only_right:,} only in B", "dim")


def _totals(found: RunDiff, width: int) -> Any:
    lines = words.lines(found)

    def column(name: str, texts: Iterator[str]) -> Column:
        return Column(name, [Text(text) for text in texts], right=True)

    names = Column("", [Text(f"  {line.name}" if line.is_part else line.name.lower(), "dim") for line in lines])
    sides = (column("A", (line.left for line in lines)), column("B", (line.right for line in lines)))
    apart = column("B against A", (line.change.text for line in lines))
    return table([names, *sides, apart, Column("", [Text(line.change.note, "dim") for line in lines])], width)


def _rows(pairs: Sequence[StepPair], width: int) -> Any:
    verdicts = [Text(words.VERDICTS[pair.verdict], _STYLES[pair.verdict]) for pair in pairs]
    apart = [Text(_apart(pair), "dim") for pair in pairs]
    return table(
        [
            Column("step", [Text(f"{pair.position + 1:,}", "dim") for pair in pairs], right=True),
            Column("verdict", verdicts),
            Column("A", [_step(pair.left) for pair in pairs], gives_way=True),
            Column("B", [_step(pair.right) for pair in pairs], gives_way=True),
            Column("differs in", apart, keep=5, gives_way=True),
        ],
        width,
    )


def _apart(pair: StepPair) -> str:
    figures = (f"{name} {change.text}" for name, change in words.changes(pair) if name in {"input", "output", "cost"})
    return " · ".join((", ".join(words.differences(pair)), *figures)).removeprefix(" · ")


def _step(step: DiffStep | None) -> Text:
    if step is None:
        return Text("·", "dim")
    text = Text(f"{step.kind} ", "dim").append(human.step_name(step.kind, step.name))
    if step.status != "completed":
        text.append(f" {step.status}", human.STATUS_STYLES.get(step.status, ""))
    said = step.output if step.kind == "llm" else step.input or step.output
    return text.append(f" {human.line(said, 80)}", "dim") if said else text
