"""What the contracts of a store share: how one is opened, what it holds, and how two of them are compared."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tachograph.events.usage import Cost, Usage
from tachograph.store.query import Query
from tachograph.store.relations import RELATIONS
from tests.strategies import Tape

Dump = Mapping[str, Sequence[Mapping[str, Any]]]

_PRIVATE = frozenset({"encoding", "body", "loose_pages", "ver"})
"""Columns in which stores may differ: how they pack, and how often they marked."""
EXAMPLES = settings(
    max_examples=15,
    deadline=None,
    # every backend runs the same inherited test: for it alone an example means the same
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.differing_executors],
)


def dump(store: Any, tables: Sequence[str] = tuple(RELATIONS)) -> Dump:
    """Every row of every table, all columns that mean the same in each store, and every run's events."""
    found: dict[str, Any] = {}
    for table in tables:
        relation = RELATIONS[table]
        columns = tuple(name for name in (*relation.stored, *relation.generated) if name not in _PRIVATE)
        found[table] = list(store.find(Query(table, columns=columns, limit=None)).rows)
    ids = [row["id"] for row in store.find(Query("runs", columns=("id",), limit=None)).rows]
    return {**found, "events": [{"run": run, "events": list(store.read(run))} for run in ids]}


def call_run(source: str = "calls", **facts: Any) -> Tape:
    """A run with a model call that costs 30 nano-USD and a tool call."""
    tape = Tape(source)
    tape.begin(**facts)
    asked = tape.say("user", {"role": "user", "content": "Where is my order?"}, by_hash=False)
    call = tape.call(input=asked, agent_type="clerk", purpose="answer")
    said = tape.say("assistant", {"role": "assistant", "content": "On its way."}, asked)
    usage = Usage(10, 5, None, 7, 2, basis="provider")
    cost = Cost("priced", 10, 20, 30, price_id="openai/gpt-4o@1", price_date="2026-11-01")
    tape.reply(call, output=said, usage=usage, cost=cost, reported_cost=31, finish_reason="stop")
    tool = tape.tool("find_order", '{"b": 1, "a": 2}', requested_by=call, call_id="c1")
    tape.result(tool, '"found"')
    return tape


class Contract:
    """A part of what every store must do."""

    def open(self, folder: Path) -> Any:
        """An empty store; it may use `folder`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Any]:
        """An empty store of its own, for one example."""
        with tempfile.TemporaryDirectory() as folder:
            opened = self.open(Path(folder))
            try:
                yield opened
            finally:
                opened.close()

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        """An empty store."""
        opened = self.open(tmp_path)
        yield opened
        opened.close()


def unordered(found: Dump) -> Mapping[str, Sequence[str]]:
    """Rows without their order."""
    return {table: sorted(map(repr, rows)) for table, rows in found.items()}


def named(found: Dump) -> Mapping[str, Sequence[str]]:
    """Rows without their order and without the numbers that say what came first: names stand in their place.

    Who names a payload is one set, whoever did so first. How events were cut into batches (`feed`) is left out.
    """
    runs = {row["pk"]: row["id"] for row in found["runs"]}
    hashes = {row["id"]: row["hash"].hex() for row in found["payloads"]}
    prices = {row["id"]: row["price_id"] for row in found["prices"]}
    nodes: dict[int, str] = {}
    for row in sorted(found["nodes"], key=lambda row: row["id"]):
        nodes[row["id"]] = f"{nodes.get(row['parent'])}/{row['role']}:{hashes.get(row['payload'])}"
    names: dict[str, Mapping[int, str]] = {"pk": runs, "run": runs, "payload": hashes, "price": prices}
    names |= dict.fromkeys(("input_node", "output_node", "result_node"), nodes)
    users = {(row["payload"], runs[row["run"]]) for row in found["shares"]}
    users |= {(row["id"], runs[row["run"]]) for row in found["payloads"] if row["run"] is not None}

    def plain(table: str, row: Mapping[str, Any]) -> str:
        own = {key: value for key, value in row.items() if key != "id" or table == "runs"}
        if table == "nodes":
            own["parent"] = nodes.get(row["parent"])
        if table == "payloads":
            own["run"] = sorted(run for payload, run in users if payload == row["id"])
        if table == "erased":
            own = {"erased": row["run"], "at": row["at"]}
        by_name = {
            key: names[key].get(value) if key in names and not isinstance(value, list) else value
            for key, value in own.items()
        }
        return repr({key: hashes.get(by_name[key]) if key.endswith("_payload") else by_name[key] for key in by_name})

    told = {table: rows for table, rows in found.items() if table not in ("feed", "shares")}
    return {table: sorted(plain(table, row) for row in rows) for table, rows in told.items()}
