"""How schemathesis sends bodies that are not JSON: it knows the media types of others, not ours."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/vnd.tachograph.events+msgpack")
def as_it_is(context: Any, value: Any) -> bytes:
    """A body as bytes: what was generated is a text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
