"""One tenant's part of a store, to be read: whoever is given it cannot see, count or search what belongs to others.

Every question gets the condition that the rows are the tenant's. Payloads and nodes belong to nobody; they are found by
number only, as rows of the tenant's runs name them, and only those that its runs name. Prices are seen through the
calls that they priced. What is about the store as a whole (journals, imports, losses, its feed) is not here at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tachograph.events.envelope import Event
from tachograph.store.ports import Store, Stretch
from tachograph.store.query import Page, Query, Where
from tachograph.store.relations import RELATIONS, plan

_BY_NUMBER = ("payloads", "nodes")


class Scoped:
    """The reading half of a store, for one tenant."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store, self.tenant = store, tenant
        self.url = store.url

    # ---- log ------------------------------------------------------------------------------------------------------

    def read(self, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
        """Events of one of the tenant's runs with seq > `after`, in order; of any other run nothing."""
        return self._store.read(run, after, limit) if self._owns(run) else iter(())

    def next_seq(self, run: str) -> int:
        """The seq the run's next event must have; 0 when the tenant has no such run."""
        return self._store.next_seq(run) if self._owns(run) else 0

    def appended(self, after: int, limit: int = 1_000) -> Sequence[Stretch]:
        """What came in of the tenant's runs since that stretch, oldest first.

        Go on from the `head` that was asked for before, when there is less than `limit`: what lies between is not the
        tenant's.
        """
        return self._store.appended(after, limit, self.tenant)

    def head(self) -> int:
        """Id of the newest stretch, whosever it is."""
        return self._store.head()

    # ---- blobs and index ------------------------------------------------------------------------------------------

    def fetch(self, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The bytes behind each hash that one of the tenant's runs names."""
        return self._store.fetch(hashes, self.tenant)

    def find(self, query: Query) -> Page:
        """The tenant's rows of one table. Raises ValueError for a table, or a question to it, that is not for tenants.

        Nodes and payloads have to be named: by a condition `eq` or `in` on `id`.
        """
        relation = RELATIONS.get(query.table)
        if relation is None:
            return self._store.find(query)  # which says what there is to ask
        if query.table in _BY_NUMBER:
            if "run" in plan(query).names():
                raise ValueError("who else names a payload is not told to a tenant")
            ids = tuple(self._own(query.table, _numbers(query)))
            return self._store.find(replace(query, where=(Where("id", "in", ids), *query.where)))
        if "tenant" not in relation.own and "tenant" not in relation.borrowed:
            raise ValueError(f"{query.table} belongs to no tenant: ask the whole store")
        return self._store.find(replace(query, where=(Where("tenant", "eq", self.tenant), *query.where)))

    def search(self, text: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """Messages of the tenant's runs that contain `text`, newest run first: {run_id, seq, role, hash}."""
        return self._store.search(text, limit, self.tenant)

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _owns(self, run: str) -> bool:
        own = Query("runs", (Where("id", "eq", run), Where("tenant", "eq", self.tenant)), ("pk",), limit=1)
        return bool(self._store.find(own).rows)

    def _own(self, table: str, numbers: Collection[int]) -> Collection[int]:
        """Those of these payloads or nodes that the tenant's runs name. A node goes by its message."""
        if table == "payloads":
            return self._store.named(tuple(numbers), self.tenant)
        rows = self._store.find(
            Query("nodes", (Where("id", "in", tuple(numbers)),), ("id", "payload"), limit=None)
        ).rows
        own = set(self._store.named(tuple({row["payload"] for row in rows}), self.tenant))
        return [row["id"] for row in rows if row["payload"] in own]


def _numbers(query: Query) -> Collection[int]:
    """The rows that a query names. Raises ValueError when it names none."""
    for where in query.where:
        if where.column == "id" and where.op in ("eq", "in"):
            return tuple(where.value) if where.op == "in" else (where.value,)
    raise ValueError(f"{query.table} belong to no tenant: name them by `id`")
