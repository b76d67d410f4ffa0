from __future__ import annotations

from pathlib import Path

from tachograph.cli.intake.report import KEPT, Report, Trouble


def test_problems_are_counted_and_the_first_are_named() -> None:
    """Every problem counts; only so many are kept."""
    report = Report()
    for line in range(KEPT + 5):
        report.trouble(Path("a.jsonl"), line or None, "broken")
    assert (report.problems, len(report.named)) == (KEPT + 5, KEPT)
    assert report.named[0].text == "a.jsonl: broken"
    assert report.named[1].text == "a.jsonl:1: broken"


def test_problems_can_be_taken_back() -> None:
    """What was said of a file that is no conversation is forgotten."""
    report = Report()
    report.trouble(Path("a"), 1, "x")
    report.trouble(Path("b"), 1, "y")
    report.forget(1)
    assert (report.problems, report.named) == (1, [Trouble("a", 1, "x")])


def test_speed_is_told_when_something_was_read() -> None:
    """Megabytes a second of what was read; nothing when nothing was."""
    assert Report(bytes=30_000_000, seconds=2.0).megabytes_per_second == 15
    assert Report(seconds=2.0).megabytes_per_second is None
    assert Report(new=2, updated=3).runs == 5
