from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from tachograph.store import columns, rollup, rows


def test_sums_stand_in_the_order_of_their_rows() -> None:
    """Those of runs and sessions as `rows` has them, those of hours and days as roll-ups have them."""
    assert tuple(column.name for column in columns.totals()) == rows.TOTALS
    named = [column.name for column in columns.sums()]
    assert named == [name for name in rows.HourRow.__struct_fields__ if name in named]
    assert set(named) == set(rollup.VALUES)


@pytest.mark.parametrize(
    ("known", "worked_out"),
    [
        ((1, 2, 3, 4), (6, 10)), ((1, None, None, 4), (1, 5)), ((None, None, None, 4), (None, None)),
        ((0, None, None, None), (0, None)),
    ],
)  # fmt: skip
def test_tokens_nobody_counted_are_none(known: tuple[int | None, ...], worked_out: tuple[int | None, ...]) -> None:
    """Input is what somebody counted of it; all tokens are known when input and output are."""
    counted = [Column(name, columns.Key) for name in ("uncached_tokens", "cache_read_tokens", "cache_write_tokens")]
    table = Table("t", MetaData(), *counted, Column("output_tokens", columns.Key), *columns.tokens(columns.INPUT_KNOWN))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        names = "uncached_tokens, cache_read_tokens, cache_write_tokens, output_tokens"
        connection.execute(f"INSERT INTO t ({names}) VALUES (?, ?, ?, ?)", known)
        assert connection.execute("SELECT input_tokens, total_tokens FROM t").fetchone() == worked_out


def test_a_content_is_text_or_a_payload() -> None:
    """Two columns, either of which may be NULL."""
    assert [(column.name, column.nullable) for column in columns.content("input")] == [
        ("input", True), ("input_payload", True),
    ]  # fmt: skip
    assert not columns.count("x").nullable
    assert columns.ended().computed is not None
