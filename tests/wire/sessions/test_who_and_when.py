from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.note import Score
from tachograph.events.run import StepStarted
from tachograph.wire.sessions import who_and_when
from tachograph.wire.sessions.draft import Origin, Problem
from tests.wire.recordings import Facts
from tests.wire.samples import encoded, failure_log, outcome, read, transcript


def test_each_message_is_a_step_of_the_agent_that_wrote_it() -> None:
    """The human's is only a message; there are no model calls; the last words before the framework's are the answer."""
    (run,) = read(who_and_when.read, [failure_log()])
    steps = [event.body for event in run.events if isinstance(event.body, StepStarted)]
    assert [(step.kind, step.name, step.agent_type) for step in steps] == [
        ("agent", "Counter", "Counter"),
        ("agent", "Checker", "Checker"),
    ]
    assert Facts([run]).calls == []
    assert [message["content"] for message in transcript(run)] == ["How many?", "Eight.", "TERMINATE"]
    assert outcome(run) == ("completed", "final_answer", "Eight.")


def test_roles_that_say_more_are_steps_of_one_agent() -> None:
    """What an orchestrator thinks and whom it speaks to stays in the name; the agent is the same."""
    record = failure_log()
    record["history"][1:] = [
        {"role": "Orchestrator (thought)", "content": "Let me see."},
        {"role": "Orchestrator (-> Surfer)", "content": "Look it up."},
    ]
    steps = [e.body for e in read(who_and_when.read, [record])[0].events if isinstance(e.body, StepStarted)]
    assert [(step.name, step.agent_type) for step in steps] == [
        ("Orchestrator (thought)", "Orchestrator"),
        ("Orchestrator (-> Surfer)", "Orchestrator"),
    ]


@pytest.mark.parametrize(
    ("step", "target", "value"),
    [("1", "Counter", 1), (2, "Checker", 2), ("0", None, 0), ("9", None, 9), ("later", None, None)],
)
def test_the_label_is_a_score_of_the_step_it_names(step: Any, target: str | None, value: int | None) -> None:
    """Who erred is the label, why the comment, which message the value; without that step it is the run's."""
    (run,) = read(who_and_when.read, [{**failure_log(), "mistake_step": step}])
    correct, mistake = [event.body for event in run.events if isinstance(event.body, Score)]
    assert (correct.name, correct.value, correct.kind) == ("correct", 0.0, "benchmark")
    assert (mistake.name, mistake.label, mistake.comment, mistake.value) == (
        "mistake",
        "Counter",
        "It counted twice.",
        value,
    )
    at = run.events[mistake.target].body
    assert (at.name if isinstance(at, StepStarted) else None) == target


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("TERMINATE", ("completed", "final_answer")),
        ("No agent selected.", ("completed", "final_answer")),
        ("Max rounds (30) reached.", ("failed", "max_iterations")),
        ("Max time (1500s) reached.", ("failed", "deadline")),
        ("I clicked.", ("abandoned", "process_died")),
    ],
)
def test_the_framework_says_how_it_ended(words: str, wanted: tuple[str, str]) -> None:
    """Its marks are told in our words; a conversation that just stops was abandoned."""
    record = failure_log()
    record["history"][-1]["content"] = words
    assert outcome(read(who_and_when.read, [record])[0])[:2] == wanted


def test_a_record_without_a_history_is_a_problem() -> None:
    """Reported with its line; an empty history is an empty run."""
    found = list(who_and_when.read(encoded([{"question": "?"}, {"history": []}]), Origin("w.json")))
    assert [type(item) is Problem for item in found] == [True, False]
