from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tachograph.cli.draw import tree
from tachograph.queries.run import RunDetail
from tachograph.queries.run import run as run_detail
from tachograph.queries.runs import Filter, runs
from tachograph.store.sqlite.store import SqliteStore


def _detail(path: Path, session: str) -> RunDetail:
    store = SqliteStore(path)
    found = runs(store, Filter(session=f"demo-{session}", top=True)).runs[0]
    detail = run_detail(store, found.id)
    store.close()
    return detail


def _text(detail: RunDetail, width: int = 150, *, whole: bool = False) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False, file=None)
    with console.capture() as captured:
        console.print(tree.draw(detail, width, whole=whole))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_tree_has_a_line_for_each_step(filled: Path) -> None:
    """Steps stand below the one they belong to, in order, each with its kind and name."""
    lines = _text(_detail(filled, "ferry"))
    start = lines.index("") + 1
    assert [re.split(r"(?<=[^│ ]) {2,}", line)[0] for line in lines[start:]] == [
        "run front-desk",
        "├─ guardrail order of the house",
        "├─ iteration 1",
        "│  ├─ llm gpt-4o-mini",
        '│  └─ tool find_rental {"rental":"R-2207"}',
        "├─ iteration 2",
        "│  ├─ llm gpt-4o-mini",
        '│  └─ tool extend_rental {"rental":"R-2207","until":"tomorrow 12:00"}',
        '│     └─ tool price_list {"extra":"half day"}',
        "└─ iteration 3",
        "   └─ llm gpt-4o-mini",
    ]


def test_the_head_says_what_the_run_came_to(filled: Path) -> None:
    """Name, outcome and sums of a run and all it started stand above the tree."""
    detail = _detail(filled, "gears")
    lines = _text(detail)
    assert lines[0].startswith("front-desk  completed  ")
    assert lines[1] == "session demo-gears  agent front-desk  project harbour-bikes"
    assert lines[2].startswith("2 runs · 7 calls · 4 tools · ≥ ")
    assert lines[2].endswith(" (1 call without a price)")


def test_failures_and_retries_are_marked(filled: Path) -> None:
    """A failed attempt shows its error, the next one its number, and a failed tool what went wrong."""
    text = "\n".join(_text(_detail(filled, "gears"), 200))
    overloaded = "ModelError: anthropic claude-sonnet-4-5: overloaded: it has too many visitors"
    assert f"llm claude-sonnet-4-5 failed {overloaded}" in text
    assert "llm claude-sonnet-4-5 attempt 2" in text
    assert "tool pay_refund failed PaymentService: no answer within five seconds" in text


def test_a_runaway_shows_its_repeats(filled: Path) -> None:
    """Each repeated call says which of how many it is, the refused one why, and the end sums them up."""
    lines = _text(_detail(filled, "tandem"))
    marks = [line.rsplit("  ", 1)[-1].strip() for line in lines if "tool track_parcel" in line]
    assert marks == [f"{number} of 6×" for number in range(1, 7)]
    assert any("rejected: track_parcel was not run: it was asked for twice before" in line for line in lines)
    assert lines[0].startswith("front-desk  failed: tool_loop")
    told = lines.index("track_parcel: 6 times with the same arguments, 3 different outcomes")
    assert [line.partition(",")[0] for line in lines[told + 1 :]] == [
        f"limit {mode}: run tool_loop" for mode in ("warn", "block", "skip", "skip", "stop")
    ]


def test_unknown_costs_are_not_zero(filled: Path) -> None:
    """A call nobody has a price for is unknown, and what it is part of a lower bound."""
    lines = _text(_detail(filled, "evening"))
    assert next(line for line in lines if "llm back-room-7b" in line).endswith("—")
    assert "≥ $" in next(line for line in lines if line.startswith("run evening-note"))
    assert lines[-1] == "score owner: 1 (user)  clear"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_names_give_way_to_figures(filled: Path, width: int) -> None:
    """On a narrow screen no line is longer than it, and every cost is still there."""
    wide, narrow = _text(_detail(filled, "tandem"), 200), _text(_detail(filled, "tandem"), width)
    assert max(map(len, narrow)) <= width
    assert sum(line.count("$") for line in narrow) == sum(line.count("$") for line in wide)


def test_a_long_run_is_cut_in_the_middle(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning and the end are shown with the number of steps between them, unless all are asked for."""
    monkeypatch.setattr(tree, "HEAD", 4)
    monkeypatch.setattr(tree, "TAIL", 2)
    detail = _detail(filled, "tandem")
    lines, whole = _text(detail), _text(detail, whole=True)
    assert f"│  … {len(detail.steps) - 6} more steps (--all shows them)" in lines
    assert len(whole) - len(lines) == len(detail.steps) - 7


@given(st.lists(st.integers(min_value=1, max_value=5), max_size=30))
def test_branches_join_what_belongs_together(steps: list[int]) -> None:
    """For any tree: a branch that goes on below is drawn down, the last one of its parent turns."""
    depths = [0]
    for step in steps:
        depths.append(min(step, depths[-1] + 1))
    guides = tree._guides(depths)
    for place, (depth, guide) in enumerate(zip(depths, guides, strict=True)):
        rest = depths[place + 1 :]
        inside = rest[: next((index for index, other in enumerate(rest) if other < depth), len(rest))]
        assert len(guide) == 3 * depth
        assert (guide[-3:] == "├─ ") is (depth > 0 and depth in inside)


def test_a_lossy_run_says_so(filled: Path) -> None:
    """What is missing of a run is told below it."""
    detail = _detail(filled, "ferry")
    receipt = msgspec.structs.replace(detail.receipt, dropped=3, truncated=1)
    lines = _text(msgspec.structs.replace(detail, receipt=receipt))
    assert lines[-1] == "not complete: 3 events could not be recorded, 1 contents cut (--receipt tells more)"
