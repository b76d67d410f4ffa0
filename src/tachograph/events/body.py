"""What all event bodies have in common: frozen, tagged by `type`, defaults left out, strict about fields.

Strict, so that bytes of a later version never lose a field on the fast path: the codec then takes the careful one,
which sets unknown fields aside in `Event.extra`. Structs inside a body are strict for the same reason. None of them can
be part of a reference cycle, so the garbage collector need not look at them: a third of the drain's time.
"""

from __future__ import annotations

from msgspec import Struct


class Recorded(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False
):
    """Base of every event body; each names its `tag`."""
