"""Parquet files: written row by row in bounded memory, forced to disk, and read back to see that it is all there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped] # the package brings no types
import pyarrow.parquet as pq  # type: ignore[import-untyped] # as above

from tachograph.upkeep.layout import Kind

Failed = (OSError, pa.ArrowException)
"""What writing and reading may raise."""

_TYPES: Mapping[Kind, Any] = {
    "text": pa.string(),
    "int": pa.int64(),
    "time": pa.timestamp("us", tz="UTC"),
    "money": pa.decimal128(19, 9),
    "ms": pa.float64(),
    "flag": pa.bool_(),
    "texts": pa.list_(pa.string()),
}
_ROWS, _BYTES = 5_000, 8 * 1024 * 1024
"""When what is held in memory is written."""


class Table:
    """One file that is being written; `seen` remembers what went in."""

    def __init__(self, path: Path, columns: Mapping[str, Kind]) -> None:
        self.path = path
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []
        self._bytes = 0
        self.rows = 0
        self._print = blake2b(digest_size=16)

    def add(self, row: Sequence[Any], size: int = 200) -> None:
        """A row, its values in the order of the columns; about how many bytes it has."""
        self._rows.append(row)
        self._bytes += size
        if len(self._rows) >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left, and force all of it to disk."""
        self._flush()
        self._writer.close()
        force(self.path)

    def faults(self) -> Iterator[str]:
        """What reading the whole file back finds wrong, as sentences."""
        rows, found = 0, blake2b(digest_size=16)
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_ROWS):
                rows += batch.num_rows
                _mark(found, batch)
        if rows != self.rows:
            yield f"{self.path} has {rows:,} rows, {self.rows:,} were written"
        elif found.digest() != self._print.digest():
            yield f"{self.path} does not hold what was written"

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._writer.write_batch(batch)
        _mark(self._print, batch)
        self.rows += batch.num_rows
        self._rows, self._bytes = [], 0


def read(path: Path, columns: Sequence[str]) -> Iterable[Sequence[Any]]:
    """Rows of a file, only these columns."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS, columns=list(columns)):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def force(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mark(into: Any, batch: Any) -> None:
    """Take the values of a batch into a fingerprint, whatever batches they come in."""
    for row in batch.to_pylist():
        into.update(repr(tuple(row.values())).encode("utf-8", "surrogatepass"))
