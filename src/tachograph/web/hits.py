"""Messages that were found, with what matched apart from what stands around it."""

from __future__ import annotations

from msgspec import Struct

from tachograph.queries.answers.hits import FoundMessage
from tachograph.web import links


class Row(Struct, frozen=True):
    """A message in the list of those that were found."""

    hit: FoundMessage
    before: str
    match: str
    behind: str
    where: str
    """The transcript at this message."""


def row(hit: FoundMessage) -> Row:
    """A message as the list shows it."""
    return Row(
        hit=hit,
        before=hit.text[: hit.start],
        match=hit.text[hit.start : hit.stop],
        behind=hit.text[hit.stop :],
        where=links.run(hit.run_id, "transcript", seq=hit.seq),
    )
