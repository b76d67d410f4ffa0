from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tachograph.cli.intake.files import find
from tachograph.cli.intake.intake import Intake
from tachograph.cli.intake.report import Report
from tachograph.compose import admitter_for, scrubber_for
from tachograph.queries.events import events
from tachograph.queries.run import run as run_detail
from tachograph.queries.runs import Run, runs
from tachograph.settings import Settings
from tachograph.store.sqlite.store import SqliteStore
from tachograph.wire.sessions.detect import READERS
from tests.cli.logs import SESSION, claude_turn, conversation, write

Take = Callable[..., Report]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    opened = SqliteStore(tmp_path / "runs.db")
    yield opened
    opened.close()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """An empty folder for logs."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def take(store: SqliteStore, logs: Path, tmp_path: Path) -> Take:
    """`take()`: import the folder of logs."""
    settings = Settings(home=tmp_path)

    def run(**options: bool) -> Report:
        admitter = admitter_for(settings, store, scrubber_for(settings))
        return Intake(store, store, admitter, **options).take(find([logs]))  # type: ignore[arg-type]  # options are flags

    return run


def _counts(report: Report) -> tuple[int, int, int, int, int, int]:
    return (report.files, report.unchanged, report.new, report.updated, report.same, report.problems)


def _all(store: SqliteStore) -> list[Run]:
    return sorted(runs(store).runs, key=lambda run: run.started_at)


def test_a_log_becomes_runs(take: Take, store: SqliteStore, logs: Path) -> None:
    """Each turn of a session is a run with its calls, tools, tokens and a price, and the answer it gave."""
    write(logs / "session.jsonl", [*claude_turn(0), *claude_turn(1)])
    report = take()
    assert _counts(report) == (1, 0, 2, 0, 0, 0)
    assert (report.totals.attempts, report.totals.tool_calls, report.totals.input_total) == (4, 2, 480)
    assert report.totals.unpriced == 0
    found = _all(store)
    assert [(run.status, run.session, run.llm_calls, run.tool_calls, run.output) for run in found] == [
        ("completed", SESSION, 2, 1, 20)
    ] * 2
    assert found[0].cost is not None
    assert report.totals.cost == 2 * found[0].cost
    assert run_detail(store, found[0].id).steps[0].output == '"answer 0"'


def test_importing_again_changes_nothing(take: Take, store: SqliteStore, logs: Path) -> None:
    """An unchanged file is not read, a touched one is found to be the same, and a forced reading stores nothing new."""
    path = write(logs / "session.jsonl", claude_turn(0))
    take()
    before = _all(store)
    assert _counts(take()) == (0, 1, 0, 0, 0, 0)
    os.utime(path, ns=(1, 1))
    assert _counts(take()) == (0, 1, 0, 0, 0, 0)
    assert _counts(take()) == (0, 1, 0, 0, 0, 0)
    assert _counts(take(again=True)) == (1, 0, 0, 0, 1, 0)
    assert _all(store) == before


def test_a_grown_session_adds_what_is_new(take: Take, store: SqliteStore, logs: Path) -> None:
    """Runs that are as before stay, one that was open is replaced by what it became, and new ones come in."""
    whole = [*claude_turn(0), *claude_turn(1), *claude_turn(2)]
    write(logs / "session.jsonl", whole[:6])
    assert _counts(take()) == (1, 0, 2, 0, 0, 0)
    first, second = _all(store)
    write(logs / "session.jsonl", whole)
    report = take()
    assert (report.new, report.same + report.updated, report.problems) == (1, 2, 0)
    found = _all(store)
    assert [run.id for run in found[:2]] == [first.id, second.id]
    assert found[0] == first
    assert [run.llm_calls for run in found] == [2, 2, 2]
    assert store.check() == []


def test_a_changed_conversation_takes_the_place_of_the_old(take: Take, store: SqliteStore, logs: Path) -> None:
    """A document that was written anew under the same id replaces its run whole."""
    write(logs / "a.json", [conversation(("user", "one"), ("assistant", "first answer"), id="talk")])
    take()
    write(logs / "a.json", [conversation(("user", "one"), ("assistant", "second"), ("user", "two"), id="talk")])
    assert _counts(take()) == (1, 0, 0, 1, 0, 0)
    texts = [event.body for event in events(store, _all(store)[0].id) if "first answer" in repr(event)]
    assert (len(_all(store)), texts) == (1, [])


def test_the_same_run_in_two_files_is_stored_once(take: Take, store: SqliteStore, logs: Path) -> None:
    """A copied log does not double its runs, and importing both again is quiet."""
    for name in ("a.jsonl", "b.jsonl"):
        write(logs / name, claude_turn(0))
    take()
    assert len(_all(store)) == 1
    assert _counts(take()) == (0, 2, 0, 0, 0, 0)


def test_a_broken_line_does_not_keep_the_others_out(take: Take, store: SqliteStore, logs: Path) -> None:
    """What cannot be read is named with its line, and the rest is stored."""
    path = write(logs / "session.jsonl", [*claude_turn(0), *claude_turn(1)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b'{"type":"user","broken\n', *lines[4:]]))
    report = take()
    assert [(trouble.file, trouble.line) for trouble in report.named] == [(str(path), 5)]
    assert (report.problems, len(_all(store))) == (1, 2)


def test_a_file_that_cannot_be_unpacked_does_not_keep_the_others_out(
    take: Take, store: SqliteStore, logs: Path
) -> None:
    """A damaged file is named, the next one goes in."""
    (logs / "a.jsonl.gz").write_bytes(b"\x1f\x8b\x08damaged")
    write(logs / "b.jsonl", claude_turn(0))
    report = take()
    assert [(trouble.file, trouble.line) for trouble in report.named] == [(str(logs / "a.jsonl.gz"), None)]
    assert len(_all(store)) == 1


def test_a_reader_that_trips_does_not_keep_the_others_out(
    take: Take, store: SqliteStore, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error of a reader is a problem of its file, which is read again the next time."""

    def trip(lines: object, origin: object) -> Iterator[object]:
        yield 1 / 0

    monkeypatch.setattr("tachograph.cli.intake.intake.READERS", {**READERS, "claude-code": trip})
    write(logs / "a.jsonl", claude_turn(0))
    write(logs / "b.json", [conversation(("user", "a"), ("assistant", "b"))])
    report = take()
    assert [trouble.reason for trouble in report.named] == ["the reader gave up: ZeroDivisionError('division by zero')"]
    assert len(_all(store)) == 1
    monkeypatch.undo()
    assert _counts(take()) == (1, 1, 1, 0, 0, 0)


def test_what_is_no_conversation_is_passed_over(take: Take, logs: Path) -> None:
    """In a folder, other JSON is counted and not complained about."""
    (logs / "package.json").write_text('{"name":"x","version":"1"}')
    (logs / "index.jsonl").write_text('{"file":"a","messages":12}\n{"file":"b","messages":3}\n')
    (logs / "empty.json").write_text("")
    report = take()
    assert (_counts(report), report.other) == ((0, 0, 0, 0, 0, 0), 3)


def test_secrets_are_masked_before_they_are_stored(take: Take, store: SqliteStore, logs: Path) -> None:
    """A key that stands in a log is in no event of the store."""
    key = "sk-ant-api03-" + "Zx9" * 30
    write(logs / "session.jsonl", claude_turn(0, text=f"my key is {key}"))
    take()
    stored = "".join(repr(event) for event in events(store, _all(store)[0].id))
    assert "my key is" in stored
    assert key not in stored


def test_a_sub_agents_log_hangs_below_the_run_that_names_it(take: Take, store: SqliteStore, logs: Path) -> None:
    """A sub-agent's file is linked to its parent's, also when the parent is told later."""
    turn = claude_turn(0)
    task = turn[1]["message"]["content"][0]
    task.update(name="Task", input={"prompt": "look", "subagent_type": "scout"})
    turn[2]["toolUseResult"] = {"status": "completed", "agentId": "abc123", "content": []}
    side = [{**line, "isSidechain": True, "agentId": "abc123"} for line in claude_turn(5, text="look", tool=False)]
    write(logs / "agent-abc123.jsonl", side)
    take()
    assert [run.parent for run in _all(store)] == [None]
    write(logs / "session.jsonl", turn)
    report = take()
    parent, child = _all(store)
    assert (child.parent, report.updated, report.new) == (parent.id, 1, 1)
    assert _counts(take()) == (0, 2, 0, 0, 0, 0)
