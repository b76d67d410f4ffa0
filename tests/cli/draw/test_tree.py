from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tachograph.cli.draw import tree
from tachograph.fold.resumptions import Resumption
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
        '│  └─ tool handoff_to_bookings {"reason":"R-2207 until noon"}',
        "│     └─ handoff to bookings",
        "└─ agent bookings",
        "   ├─ iteration 3",
        "   │  ├─ llm gpt-4o-mini",
        '   │  └─ tool extend_rental {"rental":"R-2207","until":"tomorrow 12:00"}',
        '   │     └─ tool price_list {"extra":"half day"}',
        "   └─ iteration 4",
        "      └─ llm gpt-4o-mini",
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
    assert lines[0].startswith("front-desk  completed: human_handoff")
    told = lines.index("track_parcel: 6 times with the same arguments, 3 different outcomes")
    assert [line.partition(",")[0] for line in lines[told + 1 : -1]] == [
        f"limit {mode}: run tool_loop" for mode in ("warn", "block", "skip", "skip", "handoff")
    ]


def test_a_hand_off_to_a_person_says_what_the_customer_is_told(filled: Path) -> None:
    """It is the last step; below the tree stands what became of it, and the text."""
    detail = _detail(filled, "tandem")
    lines = _text(detail)
    assert re.split(" {2,}", lines[lines.index("") + len(detail.steps)])[0] == "└─ handoff to a person"
    text = "I noticed that I was repeating myself. Transferring you to a person."
    assert lines[-1] == f"given to a person: the customer is told “{text}”"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "requested", "text": None}, "a person was asked for"),
        (
            {"state": "failed", "text": "Later.", "problem": "no answer\x07"},
            "nobody could be reached (no answer␇): the customer is told “Later.”",
        ),
    ],
)
def test_a_hand_off_that_is_not_done_says_so(filled: Path, changes: dict[str, Any], said: str) -> None:
    """Nobody is promised who does not come."""
    detail = _detail(filled, "tandem")
    assert detail.handing is not None
    handing = msgspec.structs.replace(detail.handing, **changes)
    assert _text(msgspec.structs.replace(detail, handing=handing))[-1] == said


def test_a_run_that_went_on_says_where(filled: Path) -> None:
    """A line stands between what was before and what came then, at the level of its steps: behind all, if nothing."""
    detail = _detail(filled, "ferry")
    times = (
        Resumption(seq=8, at=1, epoch=1, by="ada", status="abandoned", stood_ns=8_000_000_000),
        Resumption(seq=9_999, at=2, epoch=2, status="failed", stop_reason="max_iterations"),
    )
    lines = _text(msgspec.structs.replace(detail, resumed=times))
    told = [line for line in lines if re.match("[├└]", line)]
    assert [re.split("(?<=[0-9a-z]) {3,}", line)[0] for line in told] == [
        "├─ guardrail order of the house",
        "├─ iteration 1",
        "├─ run goes on by ada  abandoned 8 s before",
        "├─ iteration 2",
        "├─ agent bookings",
        "└─ run goes on  failed: max_iterations — before",
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
