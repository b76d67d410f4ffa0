"""Access keys: who may ask, for which tenant, and how much.

A key is 256 random bits, shown once. The store keeps its SHA-256: what cannot be guessed needs no slow hash, and who
reads the store cannot ask with it. A key's id stands in front of it, so that looking it up compares one hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from msgspec import Struct

from tachograph.errors import InvalidParameter, NotFound
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.store.rows import KeyRow

Scope = Literal["read", "write", "admin"]
"""What a key allows: `write` includes reading, `admin` includes both, deleting, and the keys themselves."""
EVERY_TENANT = "*"
_PREFIX = "tg"


class Key(Struct, frozen=True, kw_only=True):
    """An access key as it may be shown: everything but the secret."""

    id: str
    name: str
    scope: Scope
    tenant: str
    """`*` is every tenant."""
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def allows(self, scope: Scope) -> bool:
        """Whether it is enough for this."""
        order = get_args(Scope)
        return order.index(self.scope) >= order.index(scope)

    def is_good(self, now_ns: int) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now_ns < self.expires_at)


class Minted(Struct, frozen=True):
    """A new key, and its text: the only time that it is seen."""

    key: Key
    text: str


def mint(
    store: Store,
    name: str,
    scope: Scope,
    tenant: str,
    *,
    now_ns: int,
    entropy: Callable[[int], bytes],
    expires_at: int | None = None,
) -> Minted:
    """Make a key and keep its hash. Raises InvalidParameter for an empty name or tenant."""
    for field, value in (("name", name), ("tenant", tenant)):
        if not value.strip():
            raise InvalidParameter(field, value, "some text")
    number, secret = entropy(6).hex(), _letters(entropy(32))
    text = f"{_PREFIX}_{number}_{secret}"
    key = Key(
        id=number, name=name, scope=scope, tenant=tenant, created_at=now_ns, expires_at=expires_at, revoked_at=None
    )  # fmt: skip
    store.note(_row(key, _hash(text)))
    return Minted(key, text)


def keys(store: Store) -> tuple[Key, ...]:
    """All keys, oldest first."""
    rows = store.find(Query("access_keys", columns=_COLUMNS, order=("created_at",), limit=None)).rows
    return tuple(Key(**row) for row in rows)


def find(store: Store, text: str, now_ns: int) -> Key | None:
    """The key that this text is, if it is one and still good."""
    prefix, _, rest = text.partition("_")
    number, _, secret = rest.partition("_")
    if prefix != _PREFIX or not number or not secret:
        return None
    rows = store.find(Query("access_keys", (Where("id", "eq", number),), (*_COLUMNS, "hash"), limit=1)).rows
    if not rows or not hmac.compare_digest(rows[0]["hash"], _hash(text)):
        return None
    return _good(rows[0], now_ns)


def known(store: Store, number: str, now_ns: int) -> Key | None:
    """The key with this id, if there is one and it is still good. Whoever asks has shown its text before."""
    rows = store.find(Query("access_keys", (Where("id", "eq", number),), _COLUMNS, limit=1)).rows
    return _good(rows[0], now_ns) if rows else None


def revoke(store: Store, number: str, now_ns: int) -> Key:
    """Make a key useless from now on; one that is already stays as it is. Raises NotFound."""
    rows = store.find(Query("access_keys", (Where("id", "eq", number),), (*_COLUMNS, "hash"), limit=1)).rows
    if not rows:
        raise NotFound("access key", number)
    found = Key(**{name: rows[0][name] for name in _COLUMNS})
    revoked = found if found.revoked_at is not None else _revoked(found, now_ns)
    store.note(_row(revoked, rows[0]["hash"]))
    return revoked


_COLUMNS = Key.__struct_fields__


def _good(row: Mapping[str, Any], now_ns: int) -> Key | None:
    key = Key(**{name: row[name] for name in _COLUMNS})
    return key if key.is_good(now_ns) else None


def _row(key: Key, hash: bytes) -> KeyRow:
    return KeyRow(**{name: getattr(key, name) for name in _COLUMNS}, hash=hash)


def _revoked(key: Key, now_ns: int) -> Key:
    return Key(**{**{name: getattr(key, name) for name in _COLUMNS}, "revoked_at": now_ns})


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _letters(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")
