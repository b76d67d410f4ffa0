from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.content import Content, inline
from tachograph.events.envelope import Event
from tachograph.events.run import Failure
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.limits.guard import Refused, Settled
from tachograph.limits.history import Answer, Request, moments, of_events
from tachograph.limits.loops import Detector, Loops, Repeat
from tests.strategies import Tape, any_runs, stored


def test_requests_and_answers_come_in_the_order_they_happened() -> None:
    """Each with its seq and its values; a request knows how it will end, and one that is open has no answer."""
    tape = Tape()
    tape.begin()
    first = tape.tool("search", '{"q": 1}', agent_type="agent")
    second = tape.tool("pay")
    tape.result(second, state="failed", error=Failure("KeyError", "no such card"))
    tape.result(first, '["row"]')
    third = tape.tool("pay", "{broken")
    found, failed = (
        Settled("completed", first, result=["row"]),
        Settled("failed", second, result="no such card", error="KeyError"),
    )
    at = {event.seq: event.mono for event in tape.events}
    assert list(moments(tape.events)) == [
        Request(first, "search", {"q": 1}, at[first], "agent", found),
        Request(second, "pay", None, at[second], None, failed),
        Answer(second, failed),
        Answer(first, found),
        Request(third, "pay", "{broken", at[third], None, None),
    ]


def test_contents_kept_by_hash_are_fetched_together() -> None:
    """With `fetch` they are compared as values; without, by their hash; those not kept at all are like no others."""
    arguments, result = inline('{"b": 1, "a": 2}'), inline('"long"')
    tape = Tape()
    tape.begin()
    step = tape.tool("t", stored(arguments))
    tape.result(step, stored(result))
    lost = tape.tool("t", Content(level="none"))
    cut = tape.tool("t", Content(text="1", full_size=80))
    asked: list[Sequence[bytes]] = []

    def fetch(hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        asked.append(hashes)
        texts = {bytes.fromhex(stored(each).hash or ""): (each.text or "").encode() for each in (arguments, result)}
        return {name: texts[name] for name in hashes}

    def values(found: list[Request | Answer]) -> list[object]:
        return [each.arguments if isinstance(each, Request) else each.settled.result for each in found]

    assert values(list(moments(tape.events, fetch))) == [
        {"b": 1, "a": 2}, "long", f"content of step {lost}", "80 bytes: 1",
    ]  # fmt: skip
    assert [len(hashes) for hashes in asked] == [2]
    assert values(list(moments(tape.events)))[:2] == [
        f"content {stored(arguments).hash}", f"content {stored(result).hash}",
    ]  # fmt: skip
    assert cut > lost


def test_what_was_refused_says_so() -> None:
    """Calls that were rejected or skipped were never run."""
    tape = Tape()
    tape.begin()
    for state in ("rejected", "skipped", "completed"):
        tape.result(tape.tool(), state=state)
    assert [each.refused for each in moments(tape.events) if isinstance(each, Request)] == [True, True, False]


CALLS = st.lists(st.tuples(st.sampled_from("abp"), st.integers(0, 1), st.integers(0, 2)), max_size=40)
LOOPS = Loops(tools={"p": Repeat(poll=True, every=0.0035)})


@given(CALLS, CALLS)
def test_a_detector_goes_on_from_the_log_of_a_run(
    before: Sequence[tuple[str, int, int]], after: Sequence[tuple[str, int, int]]
) -> None:
    """One that was told the events answers everything that follows as the one that was there."""
    live, tape = Detector(LOOPS), Tape()
    tape.begin()
    for name, arguments, result in before:
        place, verdict = live.ask(name, {"n": arguments}, tape.mono)
        step = tape.tool(name, f'{{"n":{arguments}}}')
        live.began(place, step)
        if isinstance(verdict, Refused):
            tape.result(step, state="rejected")
        else:
            live.answered(place, Settled("completed", step, result=result))
            tape.result(step, str(result))
    told = of_events(tape.events, None, LOOPS)
    for number, (name, arguments, result) in enumerate(after):
        now = tape.mono + number * 1_000_000
        answers = [detector.ask(name, {"n": arguments}, now) for detector in (live, told)]
        assert answers[0][1] == answers[1][1]
        for detector, (place, verdict) in zip((live, told), answers, strict=True):
            if not isinstance(verdict, Refused):
                detector.answered(place, Settled(result=result))


@given(any_runs)
def test_any_events_are_heard(events: list[Event]) -> None:
    """Whatever a log holds: each request once, no answer without its request, none twice."""
    found = list(moments(events))
    requests = [each.step for each in found if isinstance(each, Request)]
    assert len(requests) == sum(isinstance(event.body, ToolStarted) for event in events)
    answers = [each.step for each in found if isinstance(each, Answer)]
    assert len(answers) == len(set(answers)) <= sum(isinstance(event.body, ToolEnded) for event in events)
    of_events(events, None, Loops())
