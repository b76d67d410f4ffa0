from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tachograph.events import codec
from tachograph.events.note import Score
from tests.cli.conftest import Run, objects
from tests.strategies import Tape


def looping(path: Path, calls: int, reward: float, source: str) -> None:
    """A recorded run that makes the same call over and over."""
    tape = Tape(source)
    tape.begin()
    for _ in range(calls):
        tape.result(tape.tool("search", '{"q":1}'), '"nothing"')
    tape.add(Score(name="reward", value=reward))
    tape.finish()
    path.write_bytes(b"".join(codec.to_json(event) + b"\n" for event in tape.events))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A folder of two loops, one of which came to a good end, and a talk without tools."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    looping(folder / "bad.jsonl", 9, 0, "bad")
    looping(folder / "good.jsonl", 3, 1, "good")
    talk = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]
    (folder / "talk.json").write_text(json.dumps({"messages": talk}))
    return folder


def lines(report: Any) -> dict[str, Any]:
    """The lines of a report by policy."""
    return {line["policy"]: line for line in report["policies"]}


def test_limits_are_explained(cli: Run) -> None:
    """Every limit that a text comes to, which of them somebody stated, and the text in full."""
    result = cli("limits", "explain", "15 turns, $1, 60s: warn, 3 same calls")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1] == ["max_iterations", "run", "15", "stop", "you"]
    assert ["deadline", "run", "1", "m", "00", "s", "warn", "you"] in rows
    assert ["cost_budget", "run", "$1.00", "stop", "you"] in rows
    assert ["max_depth", "run", "5", "stop", "default"] in rows
    assert "3 same calls" in result.stdout
    [found] = objects(cli("limits", "explain", "15 turns", "--json").stdout)
    assert (found["limits"][0]["threshold"], found["limits"][0]["stated"]) == (15, True)
    assert found["loops"]["block"] == 3


def test_a_text_that_cannot_be_read_is_bad_usage(cli: Run) -> None:
    """The exit code is 2, and the error says what was meant."""
    result = cli("limits", "explain", "15 turnz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean turn" in result.stderr


def test_files_are_tried(cli: Run, recorded: Path) -> None:
    """Conversations with tools are counted, those that were stopped and refused, and those of them that succeeded."""
    [report] = objects(cli("limits", "backtest", str(recorded), "--json").stdout)
    assert {name: count for name, count in report.items() if name != "policies"} == {
        "read": 3, "conversations": 2, "runs": 2, "succeeded": 1, "failed": 1, "not_judged": 0, "unread": 0,
    }  # fmt: skip
    shipped = lines(report)["shipped"]
    assert (shipped["stopped"], shipped["stopped_succeeded"]) == (1, 0)
    assert (shipped["refused"], shipped["refused_succeeded"], shipped["calls_refused"]) == (2, 1, 5)
    assert (lines(report)["3 same calls"]["stopped"], lines(report)["3 same calls"]["stopped_succeeded"]) == (2, 1)


def test_a_policy_of_ones_own_is_compared(cli: Run, recorded: Path) -> None:
    """It stands first, under the text that states it."""
    result = cli("limits", "backtest", str(recorded), "--limits", "no loop detection, 9 same calls")
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[0] == "3 conversations read, 2 with tool calls (1 succeeded, 1 failed, 0 not judged)"
    assert rows[2].split() == ["no", "loop", "detection,", "9", "same", "calls", "1", *["0"] * 5, "1", "0"]


def test_an_index_tells_what_succeeded(cli: Run, recorded: Path) -> None:
    """With --outcomes its word counts, and the index itself is no conversation."""
    index = recorded / "index.jsonl"
    index.write_text(json.dumps({"file": "bad.jsonl", "line": 0, "outcome": {"reward": 1}}))
    [report] = objects(cli("limits", "backtest", str(recorded), "--outcomes", str(index), "--json").stdout)
    assert (report["read"], report["succeeded"], lines(report)["shipped"]["stopped_succeeded"]) == (3, 2, 1)


def test_the_runs_of_the_store_are_tried(cli: Run, recorded: Path, tmp_path: Path) -> None:
    """Without a path it is what was recorded here, in the period that was asked for."""
    store = tmp_path / "own.db"
    assert cli("import", str(recorded), store=store).exit_code == 0
    [report] = objects(cli("limits", "backtest", "--json", store=store).stdout)
    assert (report["conversations"], lines(report)["shipped"]["stopped"]) == (2, 1)
    [none] = objects(cli("limits", "backtest", "--json", "--until", "2001-01-01", store=store).stdout)
    assert none["conversations"] == 0


def test_what_cannot_be_read_is_told(cli: Run, recorded: Path) -> None:
    """It is named on stderr, the rest is tried, and the code is 1."""
    (recorded / "odd.json").write_text(
        json.dumps({"id": "c", "format": "tea leaves", "source": {}, "record": {"a": 1}})
    )
    result = cli("limits", "backtest", str(recorded))
    assert result.exit_code == 1
    assert "nobody here reads the format 'tea leaves'" in result.stderr
    assert result.stdout.startswith("3 conversations read")


def test_the_recorded_conversations_give_the_figures_of_the_guide(cli: Run, shared_data: Path) -> None:
    """The table in docs/limits.md is what its command prints, and what is left out of it is said and counted."""
    folder = shared_data / "trajectories"
    result = cli("limits", "backtest", str(folder), "--outcomes", str(folder / "index.jsonl"))
    guide = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
    assert [line for line in result.stdout.splitlines() if line.rstrip() not in guide] == []
    assert "(257 records from this line on)" in result.stderr
