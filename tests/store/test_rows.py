from __future__ import annotations

import sqlite3
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from tachograph.store import rows
from tachograph.store.relations import RELATIONS
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import EXAMPLES

_known = st.none() | st.integers(0, 10**12)


@EXAMPLES
@given(tokens=st.tuples(_known, _known, _known, _known), duration=_known)
def test_a_call_adds_up_as_the_database_does(tokens: tuple[int | None, ...], duration: int | None) -> None:
    """Input is None only when no class of it is known, the total unless both sides are; the end follows the start."""
    uncached, read, write, output = tokens
    row = rows.CallRow(
        run=1, step=1, provider="p", model="m", started_at=7, duration_ns=duration, uncached_tokens=uncached,
        cache_read_tokens=read, cache_write_tokens=write, output_tokens=output,
    )  # fmt: skip
    known = [part for part in tokens[:3] if part is not None]
    assert row.input_tokens == (sum(known) if known else None)
    assert row.total_tokens == (None if not known or output is None else sum(known) + output)
    assert row.ended_at == (None if duration is None else 7 + duration)


def test_computed_columns_are_the_databases(tmp_path: Path) -> None:
    """What is a property of a row is the generated column of its table, value for value."""
    made = {
        "runs": rows.RunRow(
            pk=1, id="a", execution_id="e", started_at=5, updated_at=5, duration_ns=2, uncached_tokens=3,
            cache_read_tokens=4, cache_write_tokens=5, output_tokens=6,
        ),
        "steps": rows.StepRow(run=1, step=0, kind="run", name="n", started_at=5, duration_ns=9),
        "calls": rows.CallRow(
            run=1, step=1, provider="p", model="m", started_at=1, cache_read_tokens=2, output_tokens=3
        ),
        "tool_calls": rows.ToolRow(run=1, step=2, name="n", started_at=3),
        "sessions": rows.SessionRow(
            tenant="t", session="s", started_at=1, updated_at=1, last_run="a", last_started_at=1, output_tokens=4
        ),
    }  # fmt: skip
    store = SqliteStore(tmp_path / "rows.db")
    store.position("j")
    store.close()
    connection = sqlite3.connect(tmp_path / "rows.db")
    for table, row in made.items():
        relation = RELATIONS[table]
        connection.execute(sql.insert(relation), astuple(row))
        found = connection.execute(f"SELECT {', '.join(relation.generated)} FROM {table}").fetchone()
        assert found == tuple(getattr(row, name) for name in relation.generated)
    connection.close()


def test_runs_and_sessions_share_their_sums() -> None:
    """Every total is a counter of both."""
    assert set(rows.TOTALS) <= set(rows.RunRow.__struct_fields__) & set(rows.SessionRow.__struct_fields__)
