from __future__ import annotations

from pathlib import Path

import msgspec

from tachograph.cli import machine
from tachograph.queries.runs import runs
from tachograph.store.sqlite.store import SqliteStore


def test_money_is_exact_decimal_text() -> None:
    """Nano-USD become decimal USD without rounding and without an exponent; unknown stays null."""
    assert [machine.dollars(nano) for nano in (None, 0, 1, 1_500_000_000)] == [
        None,
        "0.000000000",
        "0.000000001",
        "1.500000000",
    ]


def test_a_run_has_every_fact_and_its_readable_twins(desk: Path) -> None:
    """The object of a run holds all its fields, the start as ISO text, the cost as USD, and what is added."""
    store = SqliteStore(desk)
    run = runs(store).runs[0]
    form = machine.run(run, more=1)
    assert form.keys() - msgspec.to_builtins(run).keys() == {"input_total", "started", "cost_usd", "more"}
    assert form["started"].startswith("2025-10-09T08:5")
    assert form["cost_usd"] == machine.dollars(run.cost)
    store.close()
