"""What the loggers have left in a store, read as anybody would read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tachograph
from tachograph.store.sqlite.store import SqliteStore

SOON = 20.0
_JSON = ("input_data", "output_data", "metadata", "prompt", "response")


def executions(path: Path) -> list[dict[str, Any]]:
    """Rows of `execution_logs` but the model calls among them, oldest first, once all is stored."""
    return _rows(path, "SELECT * FROM execution_logs WHERE kind <> 'llm' ORDER BY id")


def calls(path: Path) -> list[dict[str, Any]]:
    """Rows of `llm_call_logs`, oldest first, once all is stored."""
    return _rows(path, "SELECT * FROM llm_call_logs ORDER BY id")


def _rows(path: Path, statement: str) -> list[dict[str, Any]]:
    assert tachograph.flush(SOON)
    store = SqliteStore(path, shared=True)
    rows = store.sql(statement)
    store.close()
    for row in rows:
        row.update({name: json.loads(row[name]) for name in _JSON if row.get(name) is not None})
    return rows
