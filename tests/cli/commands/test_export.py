from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tachograph.events import codec
from tachograph.queries.events import events
from tachograph.queries.runs import runs
from tachograph.store.sqlite.store import SqliteStore
from tests.cli.conftest import Run, objects


def test_every_event_goes_out_whole(cli: Run, filled: Path) -> None:
    """Run after run, oldest first, each line is an event as it was recorded, with its content in place."""
    lines = cli("export", store=filled).stdout.splitlines()
    store = SqliteStore(filled)
    found = [event for run in runs(store, order="started_at").runs for event in events(store, run.id)]
    store.close()
    assert [codec.from_json(line) for line in lines] == found


def test_runs_may_be_chosen(cli: Run, filled: Path) -> None:
    """By name, or by conditions."""
    names = {each["run"] for each in objects(cli("export", "last", store=filled).stdout)}
    [run] = objects(cli("ls", "--json", "--agent", "editor", store=filled).stdout)
    assert names == {run["id"]}
    assert {each["run"] for each in objects(cli("export", "--session", "demo-evening", store=filled).stdout)} > names
    assert cli("export", "--since", "2025-10-10", store=filled).stdout == ""


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"])
def test_a_file_can_be_packed_and_read_back(cli: Run, filled: Path, tmp_path: Path, name: str) -> None:
    """An export imported into another store holds the same runs, and importing it again changes nothing."""
    file, copy = tmp_path / name, tmp_path / "copy.db"
    result = cli("export", "--output", str(file), store=filled)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("7 runs, ")
    packings: dict[str, Callable[[bytes], bytes]] = {
        ".jsonl": bytes,
        ".gz": gzip.decompress,
        ".zst": zstandard.ZstdDecompressor().decompressobj().decompress,
    }
    assert packings[file.suffix](file.read_bytes()).decode() == cli("export", store=filled).stdout
    assert cli("import", str(file), store=copy).exit_code == 0
    before, after = (objects(cli("ls", "--json", store=path).stdout) for path in (filled, copy))
    assert after == before
    [again] = objects(cli("import", str(file), "--again", "--json", store=copy).stdout)
    assert again["runs"] == {"new": 0, "updated": 0, "same": 7}


def test_a_run_that_is_not_there_is_said(cli: Run, filled: Path) -> None:
    """An unknown name writes nothing and ends with 3."""
    result = cli("export", "beefbeef", store=filled)
    assert (result.exit_code, result.stdout) == (3, "")
