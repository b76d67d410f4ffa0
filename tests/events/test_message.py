from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.content import digest
from tachograph.events.message import ROOT, node_hash


def path_hash(messages: list[bytes]) -> bytes:
    """Hash of the node at the end of a path of messages."""
    node = ROOT
    for message in messages:
        node = node_hash(node, digest(message))
    return node


@given(
    st.lists(st.sampled_from((b"a", b"b", b"")), max_size=4), st.lists(st.sampled_from((b"a", b"b", b"")), max_size=4)
)
def test_a_node_is_named_by_its_whole_path(one: list[bytes], two: list[bytes]) -> None:
    """Two nodes have the same hash exactly when the same messages lead to them in the same order."""
    assert (path_hash(one) == path_hash(two)) is (one == two)


def test_a_node_hash_never_changes() -> None:
    """Stored transcripts are found by these very bytes."""
    assert (
        path_hash([b'{"role":"user","content":"hi"}']).hex()
        == "052a9e08bd11de92158c51bb055bdd4b2299e3754ee67ad7a2002a79a881157b"
    )
