from __future__ import annotations

from tachograph.agent.compact.figures import Context, passed
from tachograph.events.usage import MISSING, Usage


def test_an_unknown_window_says_so() -> None:
    """Without a limit nothing remains to be told, and nothing is full."""
    figures = Context(lambda: None)
    assert (figures.context_limit, figures.tokens_remaining, figures.context_usage_percentage) == (None, None, 0.0)


def test_missing_usage_changes_nothing() -> None:
    """A run of which nobody said what it used leaves the figures as they were."""
    figures = Context(lambda: 100)
    figures.add(
        Usage(input_uncached=10, output=5, basis="provider"), Usage(input_uncached=10, output=5, basis="provider")
    )
    figures.add(MISSING, MISSING)
    assert (figures.cumulative_total_tokens, figures.tokens_remaining) == (15, 85)


def test_effective_input_is_never_negative() -> None:
    """A provider that counts more cached than sent tokens is no reason for a figure below 0."""
    figures = Context(lambda: 100)
    last = Usage(input_uncached=0, cache_read=10, basis="provider")
    figures.add(last, last)
    assert figures.effective_input_tokens == 0


def test_each_mark_is_passed_once() -> None:
    """Marks between the former and the present percentage."""
    assert (passed(0, 59.9), passed(0, 85), passed(80, 90), passed(90, 99)) == ((), (60.0, 80.0), (90.0,), ())
