from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import InvalidParameter, NotFound
from tachograph.events.content import Content, digest, inline
from tachograph.events.message import MessageAppended
from tachograph.queries.answers import transcripts as module
from tachograph.queries.answers.transcripts import TranscriptAsked, call_transcript
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, as_json, planner
from tests.strategies import Tape


def _said(seq: int, role: str, message: Any, size: int, **facts: Any) -> dict[str, Any]:
    return {
        "seq": seq, "role": role, "message": message, "cut": [], "size": size, "full_size": None, "redacted": {},
        "marks": [], "level": "full", "ephemeral": False, **facts,
    }  # fmt: skip


@pytest.mark.parametrize("call", [None, "2", f"{RUN[:28]}00000002"])
def test_a_call(store: Store, call: str | None) -> None:
    """A call is named by its id or its step number, and without either the last one is meant."""
    store.append(batch(planner().events))
    assert as_json(call_transcript(store, EXECUTION, TranscriptAsked(call=call))) == {
        "run_id": RUN, "call_id": f"{RUN[:28]}00000002", "model_id": "gpt-4",
        "input": [_said(1, "user", {"role": "user", "content": "Create a sales dashboard"}, 52)],
        "output": [_said(3, "assistant", {"role": "assistant", "content": "Here it is."}, 44)],
        "tools": None, "params": None, "cut": [], "message_count": 2, "limit": 1_000, "offset": 0,
    }  # fmt: skip


def test_everything_that_is_known_of_a_message(store: Store) -> None:
    """A message says what was cut, masked, replaced and kept of it; tools and parameters come as they were sent."""
    tape = Tape("facts")
    tape.begin()
    text = '{"role":"user"}'
    first = tape.add(
        MessageAppended(
            role="user",
            message=Content(
                text=text, size=len(text), full_size=99, redacted={"email": 2}, marks=("nan",), level="redacted"
            ),
        )
    )
    last = tape.add(MessageAppended(role="user", parent=first, ephemeral=True, message=Content(level="none", size=7)))
    tape.call(input=last, tools=inline('[{"name":"t"}]'), params=inline('{"t": 0.50}'))
    store.append(batch(tape.events))
    found = call_transcript(store, tape.run, TranscriptAsked())
    assert as_json(found)["input"] == [
        _said(1, "user", {"role": "user"}, 15, full_size=99, redacted={"email": 2}, marks=["nan"], level="redacted"),
        _said(2, "user", None, 7, level="none", ephemeral=True),
    ]
    assert found.params is not None
    assert (bytes(found.params), as_json(found)["tools"]) == (b'{"t": 0.50}', [{"name": "t"}])


def test_a_run_without_calls(store: Store) -> None:
    """It shows its conversation as far as it goes."""
    tape = Tape("talk")
    tape.begin()
    tape.say("user", '"hi"')
    store.append(batch(tape.events))
    found = as_json(call_transcript(store, tape.run, TranscriptAsked()))
    assert found == {
        "run_id": tape.run, "call_id": None, "model_id": None, "input": [_said(1, "user", "hi", 4)], "output": [],
        "tools": None, "params": None, "cut": [], "message_count": 1, "limit": 1_000, "offset": 0,
    }  # fmt: skip


def _long(store: Store) -> Tape:
    """A call with five messages of its own, one of them large, and large tools and parameters; it has a reply."""
    tape = Tape("long")
    tape.begin()
    last = None
    for number, size in enumerate((600, 9_000, 700, 800, 10)):
        last = tape.say("user", f'"{number}' + "x" * size + '"', last)
    call = tape.call(input=last, tools=inline('["' + "t" * 5_000 + '"]'), params=inline('{"t": 0.5}'))
    tape.reply(call, output=tape.say("assistant", '"so"', last, step=call))
    store.append(batch(tape.events))
    return tape


def test_a_large_transcript_is_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes beyond the most bytes stands as a marker and is not fetched; the smallest contents have room first."""
    monkeypatch.setattr(module, "TOGETHER_BYTES", 2_500)
    tape = _long(store)
    found = as_json(call_transcript(store, tape.run, TranscriptAsked()))
    large = '"1' + "x" * 9_000 + '"'
    tools = '["' + "t" * 5_000 + '"]'
    assert [said["message"] for said in (*found["input"], *found["output"])] == [
        "0" + "x" * 600, {"$payload": digest(large.encode()).hex(), "size": 9_003}, "2" + "x" * 700, "3" + "x" * 800,
        "4" + "x" * 10, "so",
    ]  # fmt: skip
    assert [said["cut"] for said in found["input"]] == [[], ["message"], [], [], []]
    assert (found["tools"], found["params"], found["cut"]) == (
        {"$payload": digest(tools.encode()).hex(), "size": 5_004}, {"t": 0.5}, ["tools"]
    )  # fmt: skip
    monkeypatch.setattr(module, "TOGETHER_BYTES", 0)
    nothing = as_json(call_transcript(store, tape.run, TranscriptAsked()))
    assert nothing["output"][0]["message"] == {"$payload": digest(b'"so"').hex(), "size": 4}


def test_a_long_transcript_comes_in_parts(store: Store) -> None:
    """The newest messages come first, and going on by `offset` every message is seen once, on its own side."""
    tape = _long(store)
    parts = []
    for offset in (0, 2, 4, 6):
        found = call_transcript(store, tape.run, TranscriptAsked(limit=2, offset=offset))
        parts.append(([said.seq for said in found.input], [said.seq for said in found.output]))
        assert (found.message_count, found.limit, found.offset) == (6, 2, offset)
    assert parts == [([5], [7]), ([3, 4], []), ([1, 2], []), ([], [])]


def test_no_such_call(store: Store) -> None:
    """A step that is no call is not found; what is no step of the run is refused; so is a run that is not there."""
    store.append(batch(planner().events))
    for call in ("1", f"{RUN[:28]}00000005", "99"):
        with pytest.raises(NotFound, match="no model call"):
            call_transcript(store, RUN, TranscriptAsked(call=call))
    for call in ("first", "-1", "0197-", "01977420-dc00-7ed0-b577-e51000000002"):
        with pytest.raises(InvalidParameter, match="give the id of a model call of run"):
            call_transcript(store, RUN, TranscriptAsked(call=call))
    with pytest.raises(NotFound, match="no run"):
        call_transcript(store, "nobody", TranscriptAsked())
