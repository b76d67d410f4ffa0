from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tachograph.record.rules.rule import Span, merged

spans = st.lists(st.builds(Span, st.integers(0, 30), st.integers(0, 30), st.sampled_from("abc")), max_size=8)


def test_overlapping_spans_become_one() -> None:
    """Of spans that overlap one remains that covers both, under the name of the one that begins first, or is longer."""
    found = [Span(9, 12, "late"), Span(0, 4, "first"), Span(2, 8, "second"), Span(8, 9, "next"), Span(9, 10, "short")]
    assert list(merged(found)) == [Span(0, 8, "first"), Span(8, 9, "next"), Span(9, 12, "late")]


@given(spans)
def test_no_character_of_any_span_is_left(found: list[Span]) -> None:
    """Merging covers exactly the characters that were covered, in order, without overlaps."""
    result = list(merged(found))
    covered = {place for span in found for place in range(span.start, span.end)}
    assert [place for span in result for place in range(span.start, span.end)] == sorted(covered)
