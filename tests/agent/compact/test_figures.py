from __future__ import annotations

from tachograph.agent.compact.figures import Context, Metrics, passed
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


def test_a_smaller_conversation_leaves_more_room() -> None:
    """What was put out before it was made smaller counts no more; what it cost does."""
    figures = Context(lambda: 1000)
    first = Usage(input_uncached=700, output=100, basis="provider")
    figures.add(first, first)
    done = Metrics(original_tokens=800, compressed_tokens=200, steps=("window",))
    figures.add(MISSING, MISSING, done)
    assert (figures.cumulative_output_tokens, figures.cumulative_total_tokens) == (100, 200)
    assert (figures.context_usage_percentage, figures.tokens_remaining) == (20.0, 800)
    later = Usage(input_uncached=250, output=30, basis="provider")
    figures.add(later, later)
    assert figures.cumulative_total_tokens == 280
    figures.add(later, later, Metrics(original_tokens=280, compressed_tokens=280))
    assert figures.cumulative_total_tokens == 310


def test_metrics_add_up() -> None:
    """Ratio, and what was removed; of nothing the ratio is 1."""
    done = Metrics(
        original_message_count=20, compressed_message_count=6, original_tokens=1000, compressed_tokens=250,
        messages_summarized=15, steps=("prune", "summarise"), time_taken=1.5,
    )  # fmt: skip
    assert (done.messages_removed, done.tokens_removed, done.compression_ratio, done.changed) == (14, 750, 0.25, True)
    assert done.summary == "1000 → 250 tokens, 20 → 6 messages (prune, summarise; 1.50 s)"
    assert (Metrics().compression_ratio, Metrics().changed) == (1.0, False)
