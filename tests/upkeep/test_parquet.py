from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tachograph.upkeep import parquet
from tachograph.upkeep.layout import Kind
from tachograph.upkeep.parquet import Table, read

COLUMNS: dict[str, Kind] = {"id": "text", "count": "int", "tags": "texts", "cost": "money"}


def written(path: Path, rows: int) -> Table:
    """A file with so many rows."""
    table = Table(path, COLUMNS)
    for number in range(rows):
        table.add((f"row {number}", number or None, ["a"] * (number % 3), None))
    table.close()
    return table


@pytest.mark.parametrize("rows", [0, 1, 12_345])
def test_what_is_written_is_read_back(tmp_path: Path, rows: int) -> None:
    """Every row in order, however many batches it took; a file without rows is one, too."""
    table = written(tmp_path / "t.parquet", rows)
    assert (table.rows, list(table.faults())) == (rows, [])
    assert list(read(table.path, ("id", "count"))) == [(f"row {number}", number or None) for number in range(rows)]


def test_a_file_that_lost_rows_is_noticed(tmp_path: Path) -> None:
    """Reading back counts."""
    table = written(tmp_path / "t.parquet", 3)
    written(table.path, 2)
    assert list(table.faults()) == [f"{table.path} has 2 rows, 3 were written"]


def test_a_file_that_holds_something_else_is_noticed(tmp_path: Path) -> None:
    """Reading back compares every value."""
    table = written(tmp_path / "t.parquet", 3)
    other = Table(table.path, COLUMNS)
    for number in range(3):
        other.add((f"row {number}", number, [], None))
    other.close()
    assert list(table.faults()) == [f"{table.path} does not hold what was written"]


def test_a_damaged_file_is_an_error_that_is_expected(tmp_path: Path) -> None:
    """Bytes that changed on disk raise what `Failed` names."""
    table = written(tmp_path / "t.parquet", 5_000)
    data = bytearray(table.path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
    table.path.write_bytes(data)
    with pytest.raises(parquet.Failed):
        list(table.faults())


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large rows are written before there are many of them."""
    batches: list[int] = []
    flush = Table._flush

    def counted(self: Any) -> None:
        batches.append(len(self._rows))
        flush(self)

    monkeypatch.setattr(Table, "_flush", counted)
    table = Table(tmp_path / "t.parquet", {"id": "text"})
    for _ in range(40):
        table.add(("x",), 1024 * 1024)
    table.close()
    assert max(batches) == 8
