from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from tachograph.store.sessions.head import Head, Lease, Point

JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**53), 2**53)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=8,
)


@given(state=some.dictionaries(some.text(), JSON, max_size=4), said=some.booleans(), held=some.booleans())
def test_a_head_is_the_same_after_writing_and_reading_it(state: dict[str, object], said: bool, held: bool) -> None:
    """Whatever the application's state is, in both forms that heads are kept in."""
    head = Head(
        tenant="t", id="s", created_at=1, updated_at=2, state=state, history=Point("r", 3) if said else None,
        lease=Lease(4, "o", "h", 5, 6) if held else None, unfinished=("r",),
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(head), type=Head) == head
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(head), type=Head) == head


def test_the_run_under_way_is_the_last_that_was_begun() -> None:
    """Of a turn that somebody has; else there is none."""
    head = Head(tenant="t", id="s", created_at=1, updated_at=2, unfinished=("a", "b"))
    assert (head.key, head.run) == (("t", "s"), None)
    assert msgspec.structs.replace(head, lease=Lease(1, "", "", 0, 9)).run == "b"
