"""What was set aside for a model request before it left: the most that it was expected to use."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Reservation(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Tokens and money that were reserved for one attempt."""

    input: int
    """Tokens: an estimate with a margin, or the bytes of the request where the policy is strict."""
    output: int
    """Tokens."""
    nano: int | None = None
    """Nano-USD at the dearest rates that may apply; None when the model has no price."""
    basis: Literal["stated", "estimated"] = "stated"
    """Whether the request itself states its most output, or nobody did."""
