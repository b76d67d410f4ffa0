"""Tokens: four classes, each either a number or honestly missing.

`input_total = input_uncached + cache_read + cache_write`; `reasoning` is a part of `output`. Providers disagree about
which of these their figures include; the wires translate, so that past this point the classes never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Basis = Literal["provider", "instrumentation", "inferred", "estimated", "missing"]
"""Where a figure comes from. `missing` figures are None, never 0."""


class Usage(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Tokens of one attempt. None means that nobody said."""

    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    """Part of `output`, never on top of it."""
    basis: Basis = "missing"
    cache_write_1h: int | None = None
    """Part of `cache_write` kept for an hour (priced higher by Anthropic)."""
    extra: Mapping[str, int] | None = None
    """Counts that some models price apart: input_audio, cache_audio, output_audio, web_searches, … (docs/money.md)."""

    @property
    def input_total(self) -> int | None:
        """All input tokens, cached or not; None when no class of input is known."""
        known = [part for part in (self.input_uncached, self.cache_read, self.cache_write) if part is not None]
        return sum(known) if known else None

    @property
    def total(self) -> int | None:
        """Input and output together; None unless both are known."""
        input_total = self.input_total
        return None if input_total is None or self.output is None else input_total + self.output


MISSING = Usage()

PROGRAM = "program"
"""What `Cost.price_id` is, or stands in it before a colon, when no price list made the cost."""


def is_stated(price_id: str | None) -> bool:
    """Whether the program that made a call states its cost itself: pricing again leaves it."""
    return price_id is not None and price_id.partition(":")[0] == PROGRAM


class Cost(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Money of one attempt, in integer nano-USD (1e-9 USD)."""

    state: Literal["priced", "estimated", "reported", "unpriced"] = "unpriced"
    """`estimated` is a price applied to estimated tokens; `unpriced` is not 0, it is unknown."""
    input: int | None = None
    """Uncached input, cache reads and cache writes together, and what is billed by the piece (searches, requests)."""
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    """Part of `input`."""
    cache_write: int | None = None
    """Part of `input`."""
    price_id: str = ""
    """Which row priced it: `provider/model[/tier]@source-version`, `override:<key>`, or `program[:<key>]` when the
    program that made the call states the cost itself."""
    price_date: str = ""
    """The day, UTC, whose price was applied (ISO)."""
    reason: str = ""
    """Why it is unpriced (unknown_model, no_price, unknown_tier, usage_missing, usage_invalid) or only an estimate."""
