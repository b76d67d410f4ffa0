from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tachograph.cli.intake.conversations import conversations, outcomes
from tachograph.cli.intake.files import find
from tachograph.errors import ImportFailed
from tachograph.events import codec
from tachograph.events.run import RunStarted
from tests.strategies import Tape

MESSAGES = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]


def test_conversations_of_all_formats_are_read(tmp_path: Path) -> None:
    """Collections, lists of messages and our own exports, packed or not; what no reader knows is left out."""
    record = {"format": "messages", "source": {}, "record": {"messages": MESSAGES}}
    wrapped = [{"id": f"c{number}", **record} for number in range(2)]
    strange = {"id": "c2", "format": "tea leaves", "source": {}, "record": {"leaves": 3}}
    (tmp_path / "all.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, [*wrapped, strange])).encode()))
    tape = Tape()
    tape.begin()
    tape.finish()
    (tmp_path / "own.jsonl").write_bytes(b"\n".join(map(codec.to_json, tape.events)))
    (tmp_path / "settings.json").write_text('{"colour": "blue"}')
    troubles: list[str] = []
    found = list(conversations(find([tmp_path]), troubles.append))
    folder = tmp_path.resolve()
    assert [each.place for each in found] == [
        (str(folder / "all.jsonl.gz"), 1), (str(folder / "all.jsonl.gz"), 2), (str(folder / "own.jsonl"), 1),
    ]  # fmt: skip
    assert found[2].runs == (tuple(tape.events),)
    assert all(isinstance(run[0].body, RunStarted) for each in found for run in each.runs)
    assert [text.partition(": ")[2] for text in troubles] == [
        "nobody here reads the format 'tea leaves' (1 records from this line on)"
    ]


def test_a_file_that_is_broken_is_told_and_left_out(tmp_path: Path) -> None:
    """The others are read all the same."""
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    (tmp_path / "b.json").write_text(json.dumps({"messages": MESSAGES}))
    troubles: list[str] = []
    assert len(list(conversations(find([tmp_path]), troubles.append))) == 1
    [text] = troubles
    assert "a.json.gz: cannot be read" in text


def test_an_index_says_what_succeeded(tmp_path: Path) -> None:
    """By file and line: a reward of 1, resolved, or an error; rows that do not tell are left out."""
    told = [{"reward": 1.0}, {"reward": 0.4}, {"resolved": True}, {"error": "gave up"}, {"resolved": None}, None]
    rows = [{"file": "a/x.jsonl", "line": number, "outcome": outcome} for number, outcome in enumerate(told)]
    path = tmp_path / "index.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    file = str((tmp_path / "a" / "x.jsonl").resolve())
    assert outcomes(path) == {(file, 1): True, (file, 2): False, (file, 3): True, (file, 4): False}


def test_a_broken_index_is_told_with_its_line(tmp_path: Path) -> None:
    """The error names file and line."""
    path = tmp_path / "index.jsonl"
    path.write_text('{"file": "a", "line": 0}\n{"file": 7}\n')
    with pytest.raises(ImportFailed, match=r"index\.jsonl:2: no row of an index"):
        outcomes(path)
