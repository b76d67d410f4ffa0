from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped] # the package brings no types
import pyarrow.dataset as ds  # type: ignore[import-untyped] # the package brings no types
import pyarrow.parquet as pq  # type: ignore[import-untyped] # the package brings no types
import pytest

from tachograph.errors import ArchiveFailed, MissingExtra, StoreUnavailable
from tachograph.events import codec
from tachograph.events.note import Score
from tachograph.queries.events import events
from tachograph.store.open import open_store
from tachograph.store.ports import Store
from tachograph.upkeep import parquet
from tachograph.upkeep.archive import MARK, archive
from tachograph.upkeep.choose import families
from tachograph.upkeep.layout import FILES, RUNS
from tachograph.upkeep.prune import Pruned, prune
from tachograph.upkeep.rule import Rule
from tachograph.upkeep.watch import Keep
from tests.house.source import environment
from tests.strategies import Tape
from tests.upkeep.kept import BEGAN, DAY, DOLLAR, NOW, audits, clock, desk, names, put

OLD = Rule(name="old", older_than=30 * DAY)


def chosen(store: Store) -> list[Any]:
    """All old runs."""
    return [run for family in families(store, OLD, NOW) for run in family.runs]


def pruned(store: Store, keep: Keep, into: Path) -> Pruned:
    """A pruning that archives first."""
    return prune(store, (OLD,), NOW, keep, clock=clock(), archive_into=into, pause=lambda _: None)


def table(into: Path, name: str) -> Any:
    """All rows of all files of this name."""
    files = sorted(map(str, into.glob(f"*/day=*/{name}.parquet")))
    return ds.dataset(files).to_table()


def broken_off(store: Store, into: Path, *erased: str) -> None:
    """A pruning that was killed when its archive was there and only these runs were erased."""
    with pytest.raises(KeyboardInterrupt):
        _killed(store, into, erased)


def _killed(store: Store, into: Path, erased: Sequence[str]) -> None:
    with archive(store, chosen(store), into, NOW):
        store.erase(erased, NOW)
        raise KeyboardInterrupt


def rich() -> Tape:
    """A run with text that the store keeps apart, an error, a retry and every kind of row."""
    tape = desk(
        "rich", BEGAN, calls=2, cost=DOLLAR // 8, text="long " * 500, tags=("a", "b"), session="s", tenant="acme"
    )
    tape.add(Score(name="good", value=1.0))
    return tape


def test_events_come_back_as_they_were(store: Store, keep: Keep, tmp_path: Path, own_home: Path) -> None:
    """The lines of `events.parquet`, imported into a fresh store, are the very events of the runs that went."""
    put(store, rich(), desk("other", BEGAN + 1, text="longer " * 500), desk("next day", BEGAN + DAY))
    before = {run["id"]: list(events(store, run["id"])) for run in chosen(store)}
    pruned(store, keep, tmp_path / "archive")
    assert names(store) == []
    lines: list[str] = table(tmp_path / "archive", "events").column("event").to_pylist()
    assert [codec.from_json(line) for line in lines] == [event for run in before.values() for event in run]
    (tmp_path / "back.jsonl").write_text("\n".join(lines))
    command = [
        sys.executable,
        "-c",
        "from tachograph.cli.main import main; main()",
        "import",
        str(tmp_path / "back.jsonl"),
    ]
    done = subprocess.run(
        [*command, "--json"], env=environment(TACHOGRAPH_HOME=str(own_home)), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    fresh = open_store(f"sqlite:{own_home / 'tachograph.db'}")
    assert {run: list(events(fresh, run)) for run in before} == before
    fresh.close()


def test_rows_are_typed(store: Store, keep: Keep, tmp_path: Path) -> None:
    """Times are UTC with microseconds, money is decimal USD, tokens are whole numbers, what nobody knows is null."""
    tape = rich()
    put(store, tape, desk("open end", BEGAN + 1, calls=0))
    pruned(store, keep, tmp_path)
    runs = table(tmp_path, "runs")
    assert runs.schema.field("start_time").type == pa.timestamp("us", tz="UTC")
    assert runs.schema.field("cost").type == pa.decimal128(19, 9)
    assert runs.schema.field("output_tokens").type == pa.int64()
    first = runs.to_pylist()[0]
    began = datetime.datetime.fromtimestamp(BEGAN // 10**9, datetime.UTC)
    wanted = {
        "id": tape.run, "name": "rich", "tenant": "acme", "session": "s", "tags": ["a", "b"], "start_time": began,
        "cost": Decimal("0.250000000"), "events": 12, "billable": True,
    }  # fmt: skip
    assert {name: first[name] for name in wanted} == wanted
    calls = table(tmp_path, "llm_call_logs").to_pylist()
    assert [(each["model_id"], each["total_cost"], each["input_tokens"], each["reported_cost"]) for each in calls] == [
        ("gpt-4o", Decimal("0.125000000"), 100, None)
    ] * 2
    steps = table(tmp_path, "execution_logs").to_pylist()
    assert [each["execution_step"] for each in steps if each["run_id"] == tape.run] == ["run", "tool", "think"]
    assert all(each["duration_ms"] == 1.0 for each in steps if each["kind"] != "run")
    [found, _] = table(tmp_path, "tool_call_logs").to_pylist()
    assert (found["tool_name"], found["state"], found["run_id"]) == ("find", "completed", tape.run)


def test_each_day_has_a_folder_and_each_file_all_its_columns(store: Store, keep: Keep, tmp_path: Path) -> None:
    """Partitions are days of the run's start, in UTC; the compression is zstd; the files are for their owner alone."""
    put(store, desk("a", BEGAN), desk("b", BEGAN + DAY), desk("c", BEGAN + DAY + 1))
    [swept] = pruned(store, keep, tmp_path).rules
    [folder] = [Path(each) for each in swept.archives]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["day=2025-06-15", "day=2025-06-16", MARK]
    wanted = {"runs": [column.name for column in RUNS], **{file.name: [c.name for c in file.columns] for file in FILES}}
    for name, columns in wanted.items():
        file = pq.ParquetFile(folder / "day=2025-06-16" / f"{name}.parquet")
        assert file.schema_arrow.names == columns
    counted = [pq.ParquetFile(folder / day / "runs.parquet").metadata for day in ("day=2025-06-15", "day=2025-06-16")]
    assert [(each.num_rows, each.row_group(0).column(0).compression) for each in counted] == [(1, "ZSTD"), (2, "ZSTD")]
    assert [each["archives"] for each in audits(store, "pruned")] == [[folder.name]]


def test_broken_off_before_it_has_its_name_nothing_is_left(
    store: Store, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a store that goes away, midway: no archive, no part of one, and every run still there."""
    put(store, *(desk(f"{number}", BEGAN + number * DAY) for number in range(3)))

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "force", full)
        with pytest.raises(ArchiveFailed, match="No space left on device"):
            pruned(store, keep, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", _gone)
        with pytest.raises(StoreUnavailable):
            pruned(store, keep, tmp_path)
    assert (list(tmp_path.rglob("day=*")), list(tmp_path.glob(".*.part")), len(names(store))) == ([], [], 3)


def _gone(*_: object) -> Any:
    raise StoreUnavailable("sqlite:x", "gone")


def test_broken_off_before_erasing_it_goes_on_from_the_archive(store: Store, keep: Keep, tmp_path: Path) -> None:
    """Killed between archive and erasure, it does not write a run again that is archived whole, and loses none."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(4)))
    runs = chosen(store)
    broken_off(store, tmp_path, runs[0]["id"])
    assert not any((folder / MARK).exists() for folder in tmp_path.iterdir())
    put(store, desk("new", BEGAN + 10))
    [swept] = pruned(store, keep, tmp_path).rules
    assert (swept.runs, swept.archived_before, swept.archived_again) == (4, 3, 0)
    ids = table(tmp_path, "runs").column("id").to_pylist()
    assert sorted(ids) == sorted([*(run["id"] for run in runs), desk("new", BEGAN + 10).run])
    assert all((folder / MARK).exists() for folder in tmp_path.iterdir() if folder.is_dir())


KILLED = """
import os, sys
from pathlib import Path
from tachograph.store.open import open_store
from tests.upkeep.test_archive import OLD
from tests.upkeep.kept import NOW
from tachograph.upkeep.prune import prune
store, after = open_store(sys.argv[1]), int(sys.argv[3])
erase = store.erase
def killed(runs, at):
    global after
    if not after:
        os.kill(os.getpid(), 9)
    after -= 1
    return erase(runs, at)
store.erase = killed
prune(store, (OLD,), NOW, print, archive_into=Path(sys.argv[2]), pause=lambda _: None)
"""


@pytest.mark.parametrize("after", [0, 1])
def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path, after: int) -> None:
    """A process killed before, or between, its transactions: the next pruning archives no run twice and erases all."""
    url, into = f"sqlite:{tmp_path / 'killed.db'}", tmp_path / "archive"
    store = open_store(url)
    put(store, *(desk(f"{number}", BEGAN + number * DAY // 9) for number in range(60)))
    before = {run["id"]: [codec.to_json(event) for event in events(store, run["id"])] for run in chosen(store)}
    here = environment()
    here["PYTHONPATH"] = os.pathsep.join((here["PYTHONPATH"], str(Path(__file__).parents[2])))
    done = subprocess.run([sys.executable, "-c", KILLED, url, str(into), str(after)], env=here, check=False)
    assert done.returncode == -9
    left = len(names(store))
    assert left < 60 if after else left == 60
    [swept] = prune(store, (OLD,), NOW, lambda audits: None, archive_into=into, clock=clock()).rules
    assert (swept.runs, swept.archived_before, swept.archives, names(store)) == (left, left, (), [])
    found: dict[str, list[bytes]] = {}
    for row in table(into, "events").to_pylist():
        found.setdefault(row["run"], []).append(row["event"].encode())
    assert found == before
    store.close()


def test_a_run_that_grew_after_it_was_archived_is_archived_again(store: Store, keep: Keep, tmp_path: Path) -> None:
    """It stays while the archive is behind; the next pruning writes it anew, and says that it is there twice."""
    tape = desk("judged", BEGAN)
    put(store, tape, desk("other", BEGAN + 1))
    broken_off(store, tmp_path)
    tape.add(Score(name="late", value=0.5))
    put(store, tape)
    [swept] = pruned(store, keep, tmp_path).rules
    assert (swept.runs, swept.archived_before, swept.archived_again) == (2, 1, 1)
    counts = [(row["name"], row["events"]) for row in table(tmp_path, "runs").to_pylist() if row["name"] == "judged"]
    assert sorted(counts) == [("judged", 9), ("judged", 10)]


def test_a_run_that_grows_while_it_is_archived_stays(store: Store, keep: Keep, tmp_path: Path) -> None:
    """An event that came after the archive was written is in no archive yet: the run waits for the next pruning."""
    tape = desk("judged", BEGAN)
    put(store, tape)
    find = store.find

    def late(query: Any) -> Any:
        if query.columns == ("id", "status", "next_seq") and len(tape.events) == 9:
            tape.add(Score(name="late", value=0.5))
            put(store, tape)
        return find(query)

    store.find = late  # type: ignore[method-assign]
    [swept] = pruned(store, keep, tmp_path).rules
    assert (swept.runs, swept.left, len(swept.archives), names(store)) == (0, 1, 1, ["judged"])
    [swept] = pruned(store, keep, tmp_path).rules
    assert (swept.runs, swept.archived_again, names(store)) == (1, 1, [])


def test_two_prunings_do_not_share_a_folder(store: Store, tmp_path: Path) -> None:
    """Another process that archives there is noticed; a broken off part of it is cleared away."""
    put(store, desk("a", BEGAN))
    (tmp_path / ".20250101T000000Z.part" / "day=2025-01-01").mkdir(parents=True)
    code = (
        "import os, sys; from tachograph.record import journal\n"
        "held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600); assert journal.lock(held)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(),
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(ArchiveFailed, match="another pruning writes there"),
            archive(store, chosen(store), tmp_path, NOW),
        ):
            pytest.fail("reached")
        other.communicate("")
    with archive(store, chosen(store), tmp_path, NOW):
        assert not list(tmp_path.glob(".*.part"))
        store.erase([run["id"] for run in chosen(store)], NOW)


def test_two_archives_of_one_second_have_two_names(store: Store, tmp_path: Path) -> None:
    """The second is called after the first."""
    found = []
    for name in "ab":
        put(store, desk(name, BEGAN))
        with archive(store, chosen(store), tmp_path, NOW) as done:
            store.erase([run["id"] for run in chosen(store)], NOW)
        assert done.folder is not None
        found.append(done.folder.name)
    assert found == ["20250923T150640Z", "20250923T150640Z-2"]


def test_an_earlier_archive_that_cannot_be_read_is_no_reason_to_go_on(store: Store, keep: Keep, tmp_path: Path) -> None:
    """What it holds is not known, so nothing is erased until somebody has looked."""
    put(store, desk("a", BEGAN))
    (tmp_path / "20250101T000000Z" / "day=2025-01-01").mkdir(parents=True)
    (tmp_path / "20250101T000000Z" / "day=2025-01-01" / "runs.parquet").write_bytes(b"PAR1 oops")
    with pytest.raises(ArchiveFailed, match="an earlier archive cannot be read"):
        pruned(store, keep, tmp_path)
    assert names(store) == ["a"]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    """Archiving needs it and says which; pruning without an archive does not load it."""
    code = """
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from tachograph.store.memory import MemoryStore
from tachograph.upkeep.prune import prune
from tachograph.upkeep.rule import Rule
from tests.upkeep.kept import BEGAN, DAY, NOW, desk, put
store = MemoryStore()
put(store, desk("a", BEGAN))
rule = Rule(name="r", older_than=DAY)
try:
    prune(store, (rule,), NOW, print, archive_into=Path(sys.argv[1]))
except Exception as problem:
    print(type(problem).__name__, problem)
print(prune(store, (rule,), NOW, lambda events: None).sum("runs"))
"""
    here = environment(TACHOGRAPH_HOME=str(tmp_path))
    here["PYTHONPATH"] = os.pathsep.join((here["PYTHONPATH"], str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=here, capture_output=True, text=True, check=False
    )
    assert (done.stdout.splitlines(), done.stderr) == (
        [f"{MissingExtra.__name__} an archive needs the package 'pyarrow': pip install 'tachograph[archive]'", "1"],
        "",
    )
