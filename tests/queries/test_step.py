from __future__ import annotations

import msgspec
import pytest

from tachograph.errors import NotFound
from tachograph.events.content import Content, inline
from tachograph.queries.step import LARGE, step, text
from tachograph.store.ports import Store
from tests.queries import errand
from tests.queries.errand import AGAIN, ASK, BUSY, HEADERS, LOOK, RUN, SECOND, step_id
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape


def test_a_tool_call_with_what_it_was_asked(store: Store) -> None:
    """A tool call has its arguments and its result, who asked for it, and why it was refused."""
    store.append(errand.kept())
    found = step(store, RUN, step_id(LOOK))
    assert (found.kind, found.name, found.status, found.reason) == (
        "tool",
        "look",
        "rejected",
        "look was asked for twice",
    )
    assert [(each.name, each.text) for each in found.texts] == [("input", '{"for": "bike"}'), ("output", '"no"')]
    assert found.asked is not None
    assert found.asked.requested_by is not None
    assert (found.asked.call_id, found.asked.requested_by.step) == ("call_1", AGAIN)
    assert found.parent is not None
    assert (found.parent.step, found.parent.kind) == (1, "iteration")
    assert (found.begin_ns, found.duration_ns, found.started_at) == (9 * SECOND, SECOND, BEGAN + 9 * SECOND)


def test_all_attempts_at_a_model_call(store: Store) -> None:
    """Each attempt knows the others, with what the provider said of its limits, and where an error came from."""
    store.append(errand.kept())
    for seq in (BUSY, AGAIN):
        found = step(store, RUN, str(seq))
        assert [(each.attempt, each.status, each.http_status) for each in found.attempts] == [
            (1, "failed", 529), (2, "completed", 200),
        ]  # fmt: skip
        assert msgspec.json.decode(found.attempts[0].metadata or b"")["http"][0]["headers"] == HEADERS
    error = step(store, RUN, str(BUSY)).error
    assert error is not None
    assert (error.type, error.category, error.traceback) == ("Overloaded", "overloaded", "Traceback: line 7")
    assert len(step(store, RUN, "1").attempts) == 2


def test_what_was_sent_and_what_came(store: Store) -> None:
    """A model call has the messages that were sent since the model spoke last, and its reply."""
    store.append(errand.kept())
    found = step(store, RUN, str(AGAIN))
    assert [(each.name, each.role, each.text) for each in found.texts] == [
        ("sent-1", "user", '{"role":"user","content":"hi"}'),
        ("reply-1", "assistant", '{"role":"assistant","content":"I look."}'),
    ]


def test_only_what_is_new_was_sent(store: Store) -> None:
    """What stands before the model's last words is left to the transcript."""
    tape = Tape("talk")
    tape.begin()
    node = None
    for number, role in enumerate(("user", "assistant", "tool", "user")):
        node = tape.say(role, {"role": role, "content": str(number)}, node, by_hash=True)
    call = tape.call(input=node)
    tape.reply(call)
    store.append(batch(tape.events))
    assert [each.role for each in step(store, tape.run, str(call)).texts] == ["tool", "user"]


def test_a_large_text_is_given_when_it_is_asked_for(store: Store) -> None:
    """A large text has its size; its words come with its name, or alone."""
    store.append(errand.kept())
    size = len(errand.LARGE)
    assert size > LARGE
    (_, output) = step(store, RUN, str(ASK)).texts
    assert (output.name, output.text, output.size) == ("output", None, size)
    assert step(store, RUN, str(ASK), "output").texts[1].text == errand.LARGE
    assert text(store, RUN, str(ASK), "output") == errand.LARGE
    assert text(store, RUN, step_id(LOOK), "input") == '{"for": "bike"}'


def test_a_run_is_a_step_too(store: Store) -> None:
    """Step 0 has what went into the run, and why it stopped."""
    store.append(errand.kept())
    found = step(store, RUN, RUN)
    assert (found.seq, found.kind, found.reason, found.parent) == (0, "run", "final_answer", None)
    assert [(each.name, each.text) for each in found.texts] == [("input", '{"say": "hi"}')]


def test_what_was_reached_and_started_in_a_step(store: Store) -> None:
    """A step knows the limits that were reached in it, and the runs it started."""
    store.append(errand.kept())
    assert [(hit.metric, hit.evidence) for hit in step(store, RUN, "1").limits] == [("tool_loop", (AGAIN,))]
    assert [run.name for run in step(store, RUN, str(ASK)).runs] == ["figures"]
    assert step(store, RUN, str(LOOK)).runs == ()


def test_how_a_text_was_recorded(store: Store) -> None:
    """What was masked or cut stands beside the text."""
    tape = Tape("masked")
    tape.begin()
    content = Content(text='"[key]"', size=7, full_size=900, redacted={"api_key": 2})
    tool = tape.tool("look", content)
    tape.result(tool, inline('"so"', level="redacted"))
    store.append(batch(tape.events))
    given, came = step(store, tape.run, str(tool)).texts
    assert given.how is not None
    assert came.how is not None
    assert (given.how.full_size, given.how.redacted, came.how.level) == (900, {"api_key": 2}, "redacted")


@pytest.mark.parametrize("name", ["77", "nonsense", "-1", "01977420-dc00-7000-8000-000000000003", "9" * 30])
def test_a_step_that_is_not_there(store: Store, name: str) -> None:
    """A number or an id that names no step of this run is not found, and neither is a text that a step has not."""
    store.append(errand.kept())
    with pytest.raises(NotFound):
        step(store, RUN, name)
    with pytest.raises(NotFound):
        text(store, RUN, str(LOOK), name)
