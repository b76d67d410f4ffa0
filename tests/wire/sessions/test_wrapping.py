from __future__ import annotations

from typing import Any

from tachograph.wire.sessions import detect, tau
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import codex_session, encoded, gemini_chat, outcome, read, tau2_simulation, tau_result, wrapped

WRAPPED = detect.READERS["wrapped"]


def test_what_is_inside_is_read_as_it_is() -> None:
    """A wrapped record gives the run that the bare one gives, at the line of its wrapper, with the source it names."""
    (bare,) = read(tau.read, [tau2_simulation()])
    (run,) = read(WRAPPED, [wrapped(tau2_simulation())])
    assert (run.run, run.line, outcome(run)) == (bare.run, 1, outcome(bare))
    assert Facts([run]).starts[0].source == "tau2-bench:a/b.json"


def test_a_log_inside_is_a_list_of_its_lines() -> None:
    """All runs of a session stand at the line of their wrapper; a document is one record."""
    runs = read(WRAPPED, [wrapped(gemini_chat()), wrapped(codex_session())])
    assert [(run.line, run.events[0].body.platform) for run in runs] == [
        (1, "gemini-cli"), (1, "gemini-cli"), (2, "codex"), (2, "codex"),
    ]  # fmt: skip


def test_ids_of_wrappers_tell_records_without_ids_apart() -> None:
    """The same conversation under two names is two runs, wherever the lines stand."""
    first = read(WRAPPED, [wrapped(tau_result(), "a"), wrapped(tau_result(), "b")])
    again = read(WRAPPED, [wrapped(tau_result(), "b"), wrapped(tau_result(), "a")])
    assert len({run.run for run in first}) == 2
    assert {run.run for run in first} == {run.run for run in again}


def test_problems_inside_say_where_they_are() -> None:
    """A broken wrapper, a record nobody reads, a broken line inside: each is named by the wrapper's line."""
    log: list[Any] = [
        b"{",
        wrapped({"verse": 1}, "poem"),
        wrapped({"verse": 2}, "poem"),
        wrapped([*codex_session(), {"type": "event_msg", "payload": {"type": 5}}], "w"),
        wrapped(wrapped(tau_result()), "nested"),
    ]
    found = list(WRAPPED(encoded(log), Origin("all.jsonl")))
    problems = [(item.line, item.reason) for item in found if isinstance(item, Problem)]
    assert problems == [
        (1, "not readable: Input data was truncated"),
        (4, "w, line 15: Expected `str | null`, got `int` - at `$.type`"),
        (2, "nobody here reads the format 'made up' (3 records from this line on)"),
    ]
    assert len([item for item in found if isinstance(item, Recorded)]) == 2
