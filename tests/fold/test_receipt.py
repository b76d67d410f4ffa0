from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from tachograph.events.call import CallMetered
from tachograph.events.codec import BODY_TYPES
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Unknown
from tachograph.events.usage import Cost, Usage
from tachograph.fold import totals
from tachograph.fold.receipt import Receipt, ReceiptFold, contents, fold
from tests.strategies import BEGAN, Tape, any_runs, bodies, runs


def whole() -> Tape:
    """A run of which everything is there."""
    tape = Tape()
    tape.begin(input=inline('"hi"'))
    tape.reply(tape.call(), usage=Usage(output=1, basis="provider"), cost=Cost("priced", total=1))
    tape.result(tape.tool("search", "{}"), '"4"')
    tape.finish()
    return tape


def test_the_receipt_of_a_complete_run() -> None:
    """Nothing lost, nothing cut, every step ended: the receipt is short and says complete."""
    tape = whole()
    receipt = fold(tape.events, stored=6)
    assert receipt == Receipt(run=tape.run, recorded=6, stored=6, contents=3, attempts=1)
    assert receipt.complete


def test_the_receipt_names_everything_that_is_missing() -> None:
    """Losses, gaps, cuts, redactions, replacements, levels, silence about usage and price, open steps: all counted."""
    tape = Tape()
    tape.begin()
    tape.reply(tape.call())
    tape.reply(tape.call(), "failed")
    tape.add(Note(name="n", data=Content(text='"abc', size=4, full_size=104, redacted={"email": 2, "api_key": 1})))
    tape.add(
        MessageAppended(role="user", message=Content(hash="00", size=9, redacted={"email": 3}, marks=("nan", "cut")))
    )
    tape.add(Note(name="n", data=Content(level="hashed", hash="00", marks=("nan",))))
    tape.add(Note(name="n", data=Content(level="none")))
    tape.add(Note(name="n", data=Content(level="none", marks=("shed",))))
    tape.add(Note(name="n", data=Content(level="pending", text="1")))
    tape.add(Loss(reason="journal_full", events=4, bytes=4_000))
    tape.add(Loss(reason="damage", events=1))
    tape.add(Loss(reason="damage", events=1))
    tape.add(Unknown("from_tomorrow", {}))
    call = tape.call()
    receipt = fold(tape.events[:-3] + tape.events[-2:])
    assert receipt == Receipt(
        run=tape.run,
        recorded=15,
        missing=1,
        dropped=5,
        dropped_bytes=4_000,
        losses={"journal_full": 1, "damage": 1},
        contents=6,
        truncated=1,
        truncated_bytes=100,
        redacted={"email": 5, "api_key": 1},
        marks={"nan": 2, "cut": 1, "shed": 1},
        withheld={"hashed": 1, "none": 1},
        shed=1,
        pending=1,
        unknown={"from_tomorrow": 1},
        attempts=3,
        usage_missing=1,
        usage_missing_failed=1,
        unpriced=2,
        open=receipt.open,
    )
    assert [(step.step, step.kind) for step in receipt.open] == [(0, "run"), (call, "llm")]
    assert receipt.open[0].at == BEGAN


def test_a_second_end_of_a_call_counts_once() -> None:
    """An attempt that ended twice misses its usage once."""
    tape = Tape()
    tape.begin()
    call = tape.call()
    tape.reply(call)
    tape.reply(call)
    assert (fold(tape.events).usage_missing, fold(tape.events).unpriced) == (1, 1)


def test_usage_that_came_late_is_not_missing() -> None:
    """What counts is what was last said about an attempt, completed or failed."""
    tape = Tape()
    tape.begin()
    done, failed = tape.call(), tape.call()
    tape.reply(done)
    tape.reply(failed, "failed")
    assert (fold(tape.events).usage_missing, fold(tape.events).usage_missing_failed) == (1, 1)
    for call in (done, failed):
        tape.add(CallMetered(call=call, usage=Usage(output=1, basis="provider"), cost=Cost("priced", total=1)))
    receipt = fold(tape.events)
    assert (receipt.usage_missing, receipt.usage_missing_failed, receipt.unpriced) == (0, 0, 0)


@pytest.mark.parametrize(
    "fault",
    [
        {"missing": 1}, {"dropped": 1}, {"losses": {"scrub_failed": 1}}, {"truncated": 1}, {"shed": 1}, {"pending": 1},
        {"open": fold(whole().events[:1]).open}, {"stored": 5},
    ],
)  # fmt: skip
def test_one_fault_is_enough(fault: dict[str, Any]) -> None:
    """A receipt with any loss, cut, open step or event that is not stored is not complete."""
    assert not replace(fold(whole().events, stored=6), **fault).complete


@pytest.mark.parametrize(
    "wish",
    [{"redacted": {"email": 1}}, {"withheld": {"none": 3}}, {"usage_missing": 1}, {"unpriced": 1}, {"stored": None}],
)
def test_wishes_and_silence_are_no_faults(wish: dict[str, Any]) -> None:
    """Redaction, capture levels, and usage or prices that nobody gave leave a receipt complete."""
    assert replace(fold(whole().events, stored=6), **wish).complete


@given(runs(ended=True))
def test_a_sound_run_has_everything_but_what_it_says(events: list[Event]) -> None:
    """A whole stream misses nothing, and what it says was dropped is exactly the sum of its losses."""
    receipt = fold(events)
    losses = [event.body for event in events if isinstance(event.body, Loss)]
    assert (receipt.recorded, receipt.missing, receipt.open) == (len(events), 0, ())
    assert receipt.dropped == sum(loss.events for loss in losses)
    assert sum(receipt.losses.values()) == len(losses)
    assert receipt.contents == sum(len(list(contents(event.body))) for event in events)
    assert receipt.complete is not (losses or receipt.truncated)


@given(any_runs)
def test_figures_agree_with_the_totals(events: list[Event]) -> None:
    """On any stream, recorded and missing events add up to the last seq, and missing usage to that of the totals."""
    receipt = fold(events)
    sums = totals.fold(events)
    assert receipt.recorded + receipt.missing == max((event.seq for event in events), default=-1) + 1
    assert receipt.usage_missing + receipt.usage_missing_failed == sums.bases.get("missing", 0)
    assert (receipt.unpriced, receipt.attempts) == (sums.unpriced, sums.attempts)


@given(any_runs)
def test_an_event_seen_twice_counts_once(events: list[Event]) -> None:
    """Events that were applied before are refused and leave the receipt as it was."""
    receipt = ReceiptFold()
    for event in events:
        receipt.apply(event)
    assert not any(receipt.apply(event) for event in events)
    assert receipt.receipt() == fold(events)


@given(bodies)
def test_all_content_of_an_event_is_found(body: Any) -> None:
    """Every field that holds content is looked at, in every event type."""
    fields = getattr(body, "__struct_fields__", ())
    held = [getattr(body, name) for name in fields if isinstance(getattr(body, name), Content)]
    assert list(contents(body)) == held


def test_most_event_types_can_carry_content() -> None:
    """The event types that name content in at least one field are these."""
    carriers = {
        tag
        for tag, kind in BODY_TYPES.items()
        if any("Content" in str(kind.__annotations__[name]) for name in kind.__annotations__)
    }
    assert carriers == {
        "run_started", "run_ended", "run_resumed", "step_started", "step_ended", "call_started", "call_ended",
        "tool_started", "tool_ended", "message_appended", "note",
    }  # fmt: skip
