from __future__ import annotations

from collections.abc import Iterator

import pytest

from tachograph.errors import InvalidParameter, NotFound
from tachograph.server.callers.keys import EVERY_TENANT, Key, find, keys, mint, revoke
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Query
from tachograph.testing import CountIds


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    """An empty store."""
    store = MemoryStore()
    yield store
    store.close()


def test_a_key_is_found_by_its_text_alone(store: MemoryStore) -> None:
    """What was minted opens; any other text does not, whatever part of it is right."""
    minted = mint(store, "ci", "write", "blue", now_ns=5, entropy=CountIds())
    assert minted.text.startswith(f"tg_{minted.key.id}_")
    assert find(store, minted.text, 6) == minted.key
    wrong = [minted.text[:-1], minted.text + "x", minted.text.replace("tg_", "xx_"), f"tg_{minted.key.id}_", "", "tg__"]
    assert [find(store, text, 6) for text in wrong] == [None] * len(wrong)


def test_the_store_keeps_no_secret(store: MemoryStore) -> None:
    """Of a key's text the store has the hash and the id, and nothing else."""
    minted = mint(store, "ci", "read", "blue", now_ns=5, entropy=CountIds())
    row = store.find(Query("access_keys", columns=("id", "name", "hash", "scope", "tenant"), limit=1)).rows[0]
    secret = minted.text.rpartition("_")[2]
    assert secret not in repr(row)
    assert len(row["hash"]) == 32


def test_a_revoked_key_opens_nothing_and_stays_listed(store: MemoryStore) -> None:
    """Revoking is for good, says when it was done first, and leaves the key in the list."""
    one, two = (
        mint(store, name, "admin", EVERY_TENANT, now_ns=5, entropy=entropy) for entropy in [CountIds()] for name in "ab"
    )
    gone = revoke(store, one.key.id, 9)
    assert (gone.revoked_at, revoke(store, one.key.id, 12).revoked_at) == (9, 9)
    assert (find(store, one.text, 10), find(store, two.text, 10)) == (None, two.key)
    assert keys(store) == (gone, two.key)


def test_a_key_expires(store: MemoryStore) -> None:
    """From its expiry on a key opens nothing."""
    minted = mint(store, "ci", "read", "blue", now_ns=5, entropy=CountIds(), expires_at=10)
    assert [find(store, minted.text, now) is not None for now in (9, 10)] == [True, False]


def test_wider_scopes_include_narrower_ones() -> None:
    """A write key reads, an admin key writes; never the other way round."""
    facts = {"id": "1", "name": "a", "tenant": "t", "created_at": 1, "expires_at": None, "revoked_at": None}
    scopes = ("read", "write", "admin")
    table = [[Key(**facts, scope=has).allows(wanted) for wanted in scopes] for has in scopes]  # type: ignore[arg-type]
    assert table == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_key_has_a_name_and_a_tenant(store: MemoryStore) -> None:
    """An empty name or tenant is refused, and nothing is stored."""
    for name, tenant in (("", "blue"), ("ci", " ")):
        with pytest.raises(InvalidParameter):
            mint(store, name, "read", tenant, now_ns=1, entropy=CountIds())
    assert keys(store) == ()


def test_a_key_that_is_not_there_cannot_be_revoked(store: MemoryStore) -> None:
    """Revoking an unknown id says so."""
    with pytest.raises(NotFound):
        revoke(store, "nobody", 1)
