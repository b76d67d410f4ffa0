from __future__ import annotations

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tachograph.store import schema
from tachograph.store.relations import PROJECTIONS, RELATIONS


@pytest.mark.parametrize("name", list(RELATIONS))
def test_rows_are_their_tables(name: str) -> None:
    """The columns of each table, their order, what may be NULL and the key are those of its row and relation."""
    table, relation = schema.metadata.tables[name], RELATIONS[name]
    stored = [column for column in table.columns if column.computed is None]
    assert [column.name for column in stored] == list(relation.stored)
    assert [column.name for column in table.columns if column.computed is not None] == list(relation.generated)
    assert tuple(column.name for column in table.primary_key.columns) == relation.key
    counted = {column.name for column in stored if column.autoincrement is True or column.name == "id"}
    may_be_null = {column.name for column in stored if column.nullable}
    assert may_be_null - counted == set(relation.stored) - relation.never_null - counted


def test_every_table_can_be_asked_but_three() -> None:
    """The log is read with `read`, dictionaries are the writer's own, the version is that of the migrations."""
    assert set(schema.metadata.tables) - set(RELATIONS) == {"events", "dictionaries", "tachograph_version"}
    assert {table.name for table in schema.PROJECTIONS} == set(PROJECTIONS)


def test_the_tables_are_not_sqlites_alone() -> None:
    """PostgreSQL's dialect can spell each of them."""
    dialect: Dialect = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]
    for table in schema.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect)).strip().startswith(f"CREATE TABLE {table.name}")
