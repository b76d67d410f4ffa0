from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli.desk import shop
from tachograph.events import codec
from tachograph.events.run import RunEnded
from tests.cli.conftest import Run, objects


def test_the_last_run_is_shown_as_a_tree(cli: Run, filled: Path) -> None:
    """`show last` draws the newest run with the runs below it."""
    result = cli("show", "last", store=filled)
    assert result.exit_code == 0
    assert result.stdout.startswith("evening-note  completed")
    assert "│     └─ run listener" in result.stdout


def test_json_is_one_object(cli: Run, filled: Path) -> None:
    """The whole detail is one value: the run, its steps, totals, repeats and receipt."""
    [found] = objects(cli("show", "last", "--json", store=filled).stdout)
    assert found.keys() >= {"run", "steps", "children", "totals", "whole", "repeats", "receipt", "limits", "scores"}
    assert [step["kind"] for step in found["steps"] if step["depth"] == 1] == [
        "iteration",
        "iteration",
        "observe",
    ]


def test_messages_are_those_of_a_call(cli: Run, filled: Path) -> None:
    """Without a step it is the last call's conversation; with one, that call's."""
    text = cli("show", "last", "--messages", store=filled).stdout
    assert f"system\n{shop.EDITOR}\n" in text
    [run] = objects(cli("ls", "--json", "--session", "demo-tandem", store=filled).stdout)
    [detail] = objects(cli("show", run["id"], "--json", store=filled).stdout)
    calls = [step["step"] for step in detail["steps"] if step["kind"] == "llm"]
    said = objects(cli("show", run["id"], "--call", str(calls[1]), "--json", store=filled).stdout)
    assert [each["role"] for each in said] == ["system", "user", "assistant", "tool", "assistant"]
    assert [each["reply"] for each in said] == [False, False, False, False, True]
    assert said[1]["message"] == {"role": "user", "content": shop.QUESTIONS["tandem"]}


def test_events_are_told_one_by_one(cli: Run, filled: Path) -> None:
    """One line each for people, one JSON event each for programs, content included."""
    lines = cli("show", "last", "--events", store=filled).stdout.splitlines()
    given = [
        codec.from_json(line) for line in cli("show", "last", "--events", "--json", store=filled).stdout.splitlines()
    ]
    assert len(lines) == len(given)
    assert [event.seq for event in given] == list(range(len(given)))
    assert any(isinstance(event.body, RunEnded) for event in given)
    assert any(shop.EDITOR in codec.to_json(event).decode() for event in given)


def test_the_receipt_says_what_was_kept(cli: Run, filled: Path) -> None:
    """A complete run says so, and every figure of its receipt stands there."""
    text = cli("show", "last", "--receipt", store=filled).stdout
    assert text.splitlines()[0].split() == ["complete", "yes"]
    [receipt] = objects(cli("show", "last", "--receipt", "--json", store=filled).stdout)
    assert receipt["recorded"] == receipt["stored"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("beefbeef",), 3, "no run has the id 'beefbeef'"),
        (("last", "--call", "999"), 3, "no model call has the id"),
        (("last", "--events", "--receipt"), 2, "one of them at a time"),
        (("0",), 2, "more than one run begins with '0'"),
    ],
)
def test_what_cannot_be_shown_is_said(cli: Run, filled: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """A run or call that is not there, a name that means several, and options that exclude each other."""
    result = cli("show", *words, store=filled)
    assert (result.exit_code, said in result.stderr, result.stdout) == (code, True, "")
