from __future__ import annotations

from tachograph.events.content import Content, inline
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.queries.answers.runs import overview
from tachograph.queries.runs import runs
from tachograph.queries.views.exchanges import exchanges
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.strategies import Tape


def test_what_went_in_and_came_out_of_each_run(store: Store) -> None:
    """With the hand-offs inside it; what was not recorded is nothing, what is too large is not whole."""
    talk = Talk(session="s")
    large, silent = Tape("large"), Tape("silent")
    large.begin(session="s", input=inline('"' + "x" * 20_000 + '"'))
    silent.begin(session="s", input=Content(level="none"))
    store.append(batch(talk.events, large.events, silent.events))
    listed = {run.id: overview(run) for run in runs(store).runs}
    said, big, none = exchanges(store, [listed[tape.run] for tape in (talk, large, silent)])
    assert (bytes(said.input.json or b""), bytes(said.output.json or b"")) == (
        b'"Where is it?"',
        b'"It is on its way."',
    )
    [handed] = said.handed
    assert (handed.to, handed.reason, handed.status, handed.step) == (
        "billing", "it is about money", "completed", talk.at_seq["handoff"],
    )  # fmt: skip
    assert (big.input.whole, none.input.json, none.output.json, none.handed) == (False, None, None, ())
    assert exchanges(store, []) == ()


def test_what_the_customer_was_told_is_known(store: Store) -> None:
    """A run that was given to a person says how that stands."""
    tape = Tape("person")
    tape.begin(session="s")
    facts = '"kind":"person","effect_id":"e","cause":"limit","reason":"it went round in circles"'
    step = tape.step("person", kind="handoff", input=inline(f"{{{facts}}}"))
    tape.add(Note(name="handoff_applied", data=inline(f'{{{facts},"text":"Somebody will call you."}}')), step)
    tape.done(step)
    tape.finish(stop_reason="human_handoff")
    store.append(batch(tape.events))
    [said] = exchanges(store, [overview(runs(store).runs[0])])
    assert said.person is not None
    assert (said.handed[0].to, said.person.state, said.person.text) == ("person", "applied", "Somebody will call you.")


def test_what_was_not_recorded_as_input_is_what_was_said_last(store: Store) -> None:
    """The newest words of a user before the first model call, and no reminder."""
    tape = Tape("said")
    tape.begin(session="s")
    old = tape.say("user", '"old"')
    new = tape.say("user", '"new"', tape.say("assistant", '"reply"', old))
    reminder = MessageAppended(role="user", parent=new, message=inline('"reminder"'), ephemeral=True)
    tape.call(input=tape.add(reminder))
    tape.say("user", '"later"', new)
    store.append(batch(tape.events))
    [said] = exchanges(store, [overview(runs(store).runs[0])])
    assert bytes(said.input.json or b"") == b'"new"'
