from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.wire.sessions import detect
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.wire.recordings import index, wrapped
from tests.wire.samples import encoded, every_format, read
from tests.wire.sound import faults


@pytest.mark.parametrize("name", detect.READERS)
def test_a_log_is_recognised_by_its_records(name: str) -> None:
    """The format of each made-up log is found from its lines, whatever the file is called."""
    lines = [line for _, line in encoded(every_format()[name])]
    assert detect.format_of(lines) == name


def test_records_that_could_be_anything_are_passed_over() -> None:
    """Broken lines, numbers and objects of no format do not decide; without any that does the answer is None."""
    strange = [b"{", b"3", b"[]", b"{}", b'{"a": 1}', b"\xff", b"[" * 3000]
    telling = json.dumps({"role": "user", "content": "hi"}).encode()
    assert detect.format_of(strange) is None
    assert detect.format_of([*strange, telling]) == "messages"
    assert detect.format_of([b"{}"] * 60 + [telling]) is None


def test_old_rollouts_and_odd_json_are_recognised() -> None:
    """Bare items of old rollouts, Gemini's updates, and a line with NaN are told by their keys as well."""
    assert detect.sniff(b'{"type": "function_call", "name": "shell", "call_id": "c"}') == "codex"
    assert detect.sniff(b'{"record_type": "state"}') == "codex"
    assert detect.sniff(b'{"$set": {"summary": "x"}}') == "gemini-cli"
    assert detect.sniff(b'{"simulations": [], "x": NaN}') == "tau2-bench"


def test_every_indexed_file_is_recognised(shared_data: Path) -> None:
    """All collections of recorded conversations are wrapped, and all records but the ReAct texts have a reader."""
    found: dict[str, set[str | None]] = {}
    for row in index(shared_data):
        line = wrapped(shared_data / "trajectories" / row["file"])[row["line"]]
        assert detect.sniff(line) == "wrapped"
        record = json.loads(line)["record"]
        inside = record if isinstance(record, list) else [record]
        found.setdefault(row["format"], set()).add(detect.format_of(json.dumps(item).encode() for item in inside))
    assert found == {
        "tau-bench": {"tau-bench"},
        "tau2-bench simulation": {"tau2-bench"},
        "who&when failure log": {"who-and-when"},
        "swe-agent .traj": {"swe-agent"},
        "openhands llm_completions (joined)": {"openhands"},
        "openhands output.jsonl (event history + metrics)": {"openhands"},
        "openhands sdk llm log (one LLM call)": {"openhands"},
        "claude session log (all lines, in order)": {"claude-code"},
        "codex session log (all lines, in order)": {"codex"},
        "gemini cli session": {"gemini-cli"},
        "ReAct text log (Thought/Action/Observation)": {None},
    }


def test_places_name_formats_that_have_a_reader() -> None:
    """Each place where agents keep logs names a reader, homes in the user's and patterns below those."""
    for place in detect.PLACES:
        assert place.format in detect.READERS
        assert all(home == "~" or home.startswith("~/") for home in place.homes)
        assert place.patterns
        assert not any(pattern.startswith(("/", "~")) for pattern in place.patterns)


@pytest.mark.parametrize("name", detect.READERS)
def test_reading_twice_gives_the_same_events(name: str) -> None:
    """Ids and events depend on nothing but the log."""
    log = every_format()[name]
    assert read(detect.READERS[name], log) == read(detect.READERS[name], log)


@pytest.mark.parametrize("name", detect.READERS)
def test_the_time_of_the_file_does_not_change_ids(name: str) -> None:
    """Records without times begin when their file was written, under an id that does not depend on it."""
    log = every_format()[name]
    early = read(detect.READERS[name], log, Origin("f"))
    late = read(detect.READERS[name], log, Origin("f", at=1_700_000_000_000_000_000))
    assert [run.run for run in early] == [run.run for run in late]


# --- whatever a file holds, a reader gives runs and problems ---

LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything inside a value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(*path, key) for key in keys] + [place for key in keys for place in _places(value[key], (*path, key))]


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, list[tuple[int, bytes]]]:
    """A reader's name and a log, mostly of its format, in which a few things are something else, doubled or gone."""
    name = draw(st.sampled_from(sorted(detect.READERS)))
    source = draw(st.sampled_from(sorted(detect.READERS))) if draw(st.integers(0, 9)) == 0 else name
    log = copy.deepcopy(every_format()[source])
    for _ in range(draw(st.integers(0, 6))):
        *path, last = draw(st.sampled_from(_places(log)))
        inside: Any = log
        for key in path:
            inside = inside[key]
        if draw(st.booleans()):
            inside[last] = draw(VALUES)
        elif isinstance(inside, list):
            inside.insert(draw(st.integers(0, len(inside))), copy.deepcopy(inside[last]))
        else:
            del inside[last]
        if not _places(log):
            break
    lines = [json.dumps(record).encode() for record in log]
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.binary(max_size=20) | st.just(b"\xff{")))
    cut: bool = draw(st.booleans())
    if lines and cut:
        lines[-1] = lines[-1][: draw(st.integers(0, len(lines[-1])))]
    return name, list(enumerate(lines, 1))


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_no_line_breaks_a_reader(log: tuple[str, list[tuple[int, bytes]]]) -> None:
    """Whatever a log holds, reading it gives sound runs, and problems with the lines they are on."""
    name, lines = log
    found = list(detect.READERS[name](lines, Origin("spoiled.jsonl", at=5)))
    runs = [item for item in found if isinstance(item, Recorded)]
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(runs) + len(problems) == len(found)
    assert [faults(run.events) for run in runs if faults(run.events)] == []
    assert {problem.line for problem in problems} <= {number for number, _ in lines}
