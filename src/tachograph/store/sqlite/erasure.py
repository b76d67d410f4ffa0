"""What goes when runs go: their rows and pages, the contents that nobody else names, their part of the message tree.

What a run names stands in its log, so nothing else has to be kept to find it. A payload goes when neither its own row
nor `shares` names a run that stays. A node goes when no run that stays has said this message at this place; who may
have done so is known from the payloads on its path, and is then looked up in the logs of these runs. Two kinds of nodes
may stay without a run. Of one whose message was not kept there is nothing to tell who said it, and nothing to read
either. And where more than `LOOKED_AT` runs have said all messages of a path, but the first of them at other places,
the search ends: every message of that path is then still said by others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from tachograph.errors import CodecError
from tachograph.events.run import AUDIT
from tachograph.store.changes import EMPTY, HOUR_NS, Changes, hash_bytes, session_of
from tachograph.store.named import Uses, named
from tachograph.store.relations import OF_RUN, RELATIONS
from tachograph.store.rows import HASH_ONLY, RunRow
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.known import chunks, read_log, row_of
from tachograph.store.sqlite.pages import Packer

LOOKED_AT = 100
"""Most runs whose logs are read to learn whether one of them has said a message at a place."""
_ANCESTORS = 20
"""Most messages of a path by which runs are chosen."""

_OF_SESSION = sql.fetch(RELATIONS["runs"]).replace(
    'WHERE "pk" = ?1', f"""WHERE "tenant" = ? AND "session" = ? AND source <> '{AUDIT}'"""
)
_OUTERMOST = ("started_at, id", "started_at DESC, id DESC", "updated_at DESC")
_NAMES = "(p.run = u.run OR EXISTS (SELECT 1 FROM shares s WHERE s.payload = p.id AND s.run = u.run))"


class Gone(Struct, frozen=True):
    """What went."""

    payloads: int = 0
    bytes: int = 0


class Erasure:
    """Takes runs out of a store, inside a transaction that the caller opens."""

    def __init__(self, connection: StoreConnection, packer: Packer) -> None:
        self._connection, self._packer = connection, packer

    def uses(self, pk: int, run: str) -> Uses:
        """What a run names. Where its log cannot be read, whatever the tables say that it names."""
        try:
            names = {
                (hash, content.level == "hashed")
                for event in read_log(self._connection, self._packer, pk, run)
                for content in named(event.body)
                if (hash := hash_bytes(content.hash)) is not None
            }
            nodes = self._nodes_of(pk)
        except CodecError:
            return self._noted(pk)
        payloads: set[int] = set()
        for chunk in chunks(list({hash for hash, _ in names})):
            query = f"SELECT id, hash, encoding FROM payloads WHERE prefix IN ({','.join('?' * len(chunk))})"
            found = self._connection.execute(query, [hash[:8] for hash in chunk])
            payloads.update(number for number, hash, encoding in found if (hash, encoding == HASH_ONLY) in names)
        return Uses(frozenset(payloads), nodes)

    def _noted(self, pk: int) -> Uses:
        """What the tables say that a run names, and every node of these messages."""
        query = "SELECT id FROM payloads WHERE run = ?1 UNION SELECT payload FROM shares WHERE run = ?1"
        payloads = [number for (number,) in self._connection.execute(query, (pk,))]
        nodes: set[int] = set()
        for chunk in chunks(payloads):
            query = f"SELECT id FROM nodes WHERE payload IN ({','.join('?' * len(chunk))})"
            nodes.update(node for (node,) in self._connection.execute(query, chunk))
        return Uses(frozenset(payloads), frozenset(nodes))

    def remove(self, changes: Changes, rows: Iterable[RunRow]) -> int:
        """Delete runs with everything that belongs to them alone; returns the bytes of their pages."""
        execute = self._connection.execute
        left: defaultdict[tuple[str, str], list[RunRow]] = defaultdict(list)
        size = 0
        for row in rows:
            for (hour,) in execute("SELECT DISTINCT started_at / ? FROM steps WHERE run = ?", (HOUR_NS, row.pk)):
                changes.dirty.add((row.tenant, hour))
            pages = "FROM events WHERE page >= ? AND page < ?", (row.pk << 32, row.pk + 1 << 32)
            size += execute(f"SELECT coalesce(sum(length(body)), 0) {pages[0]}", pages[1]).fetchone()[0]
            execute(f"DELETE {pages[0]}", pages[1])
            for table in OF_RUN:
                execute(f"DELETE FROM {table} WHERE run = ?", (row.pk,))
            execute("DELETE FROM runs WHERE pk = ?", (row.pk,))
            if (session := session_of(row)) is not None:
                left[session].append(row)
        for whose, gone in left.items():
            changes.leave(whose, gone, self._outermost(whose))
        return size

    def release(self, runs: Mapping[int, Uses]) -> Gone:
        """Runs (by pk) name these no more; what nobody else names goes."""
        connection = self._connection
        pairs = ((number, pk) for pk, uses in runs.items() for number in uses.payloads)
        connection.executemany("DELETE FROM shares WHERE payload = ? AND run = ?", pairs)
        gone: list[int] = []
        size = 0
        for chunk in chunks(sorted({number for uses in runs.values() for number in uses.payloads})):
            marks = ",".join("?" * len(chunk))
            query = (
                "SELECT id, run, coalesce(length(body), 0), (SELECT min(s.run) FROM shares s WHERE s.payload = id)"
                f" FROM payloads WHERE id IN ({marks}) AND run IS NOT NULL"
            )
            for number, owner, length, heir in connection.execute(query, chunk).fetchall():
                if owner not in runs or number not in runs[owner].payloads:
                    continue
                if heir is None:
                    connection.execute("DELETE FROM payloads WHERE id = ?", (number,))
                    gone.append(number)
                    size += length
                else:
                    connection.execute("UPDATE payloads SET run = ? WHERE id = ?", (heir, number))
                    connection.execute("DELETE FROM shares WHERE payload = ? AND run = ?", (number, heir))
        self._prune(frozenset(node for uses in runs.values() for node in uses.nodes), set(gone))
        return Gone(len(gone), size)

    # ---- sessions -------------------------------------------------------------------------------------------------

    def _outermost(self, session: tuple[str, str]) -> list[RunRow]:
        """The runs of a session that started first, started last and were written last."""
        found = (
            self._connection.execute(f"{_OF_SESSION} ORDER BY {order} LIMIT 1", session).fetchone()
            for order in _OUTERMOST
        )
        return [row_of(RunRow, values) for values in found if values is not None]

    # ---- nodes ----------------------------------------------------------------------------------------------------

    def _nodes_of(self, pk: int) -> frozenset[int]:
        """The nodes of a run's messages."""
        execute = self._connection.execute
        nodes: dict[int, int] = {}
        query = "SELECT page, body FROM events WHERE page >= ? AND page < ? ORDER BY page"
        for page, body in execute(query, (pk << 32, pk + 1 << 32)):
            for seq, parent, role, payload in self._packer.messages(page & 0xFFFF_FFFF, body):
                above = EMPTY if parent is None else nodes.get(parent, EMPTY)
                key = (above, payload, role)
                found = execute("SELECT id FROM nodes WHERE parent = ? AND payload = ? AND role = ?", key).fetchone()
                if found is not None:
                    nodes[seq] = found[0]
        return frozenset(nodes.values())

    def _prune(self, nodes: frozenset[int], gone: set[int]) -> None:
        """Delete those of these nodes that no run names any more, and all that stand on payloads that are `gone`."""
        tree = dict(self._tree(nodes))
        doomed: set[int] = set()
        unsure: list[int] = []
        for node in sorted(tree):  # parents have lower numbers than their children
            parent, payload = tree[node]
            if payload in gone or parent in doomed:
                doomed.add(node)
            else:
                unsure.append(node)
        alive: set[int] = set()
        for node in reversed(unsure):
            if node in alive or self._is_said(node, nodes, alive):
                alive.add(node)
            else:
                doomed.add(node)
        below = (
            "WITH RECURSIVE below(id) AS (VALUES (?) UNION ALL SELECT n.id FROM below b JOIN nodes n"
            " ON n.parent = b.id) DELETE FROM nodes WHERE id IN (SELECT id FROM below)"
        )
        self._connection.executemany(below, ((node,) for node in sorted(doomed) if tree[node][0] not in doomed))

    def _tree(self, nodes: Iterable[int]) -> Iterator[tuple[int, tuple[int, int]]]:
        """(node, (parent, payload)) of each that is there."""
        for chunk in chunks(list(nodes)):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT id, parent, payload FROM nodes WHERE id IN ({marks})"
            for node, parent, payload in self._connection.execute(query, chunk):
                yield node, (parent, payload)

    def _is_said(self, node: int, nodes: frozenset[int], alive: set[int]) -> bool:
        """Whether a run that stays has said this message here, or has to be taken to have.

        Nodes that it comes upon join those that are `alive`.
        """
        children = self._connection.execute("SELECT id FROM nodes WHERE parent = ?", (node,))
        if any(child in alive or child not in nodes for (child,) in children):
            return True
        runs = self._may_have_said(node)
        if runs is None:
            return True
        for pk in runs:
            alive |= self._nodes_of(pk) & nodes
            if node in alive:
                return True
        return len(runs) == LOOKED_AT

    def _may_have_said(self, node: int) -> Sequence[int] | None:
        """The runs that name every message on the path to a node, LOOKED_AT of them; None when nobody knows."""
        path = self._path(node)
        query = f"SELECT id, run FROM payloads WHERE id IN ({','.join('?' * len(path))})"
        owners = dict(self._connection.execute(query, path))
        if not path or owners.get(path[0]) is None:
            return None
        known = [payload for payload in path[1:] if owners.get(payload) is not None]
        conditions = "".join(f" AND EXISTS (SELECT 1 FROM payloads p WHERE p.id = ? AND {_NAMES})" for _ in known)
        query = (
            "SELECT u.run FROM (SELECT run FROM payloads WHERE id = ?1 UNION ALL SELECT run FROM shares"
            f" WHERE payload = ?1) u WHERE 1{conditions} LIMIT {LOOKED_AT}"
        )
        return [run for (run,) in self._connection.execute(query, (path[0], *known))]

    def _path(self, node: int) -> list[int]:
        """Payloads of a node and of those above it, nearest first; nothing for a node whose message was not kept."""
        query = (
            "WITH RECURSIVE path(parent, payload, depth) AS (SELECT parent, payload, 0 FROM nodes WHERE id = ?"
            " UNION ALL SELECT n.parent, n.payload, depth + 1 FROM path JOIN nodes n ON n.id = path.parent"
            " WHERE depth < ?) SELECT payload FROM path ORDER BY depth"
        )
        found = [payload for (payload,) in self._connection.execute(query, (node, _ANCESTORS))]
        return list(dict.fromkeys(found)) if found and found[0] else []
