from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Event
from tachograph.events.run import Failure
from tachograph.fold.repeats import Repeat, Repeats, Stretch, find
from tachograph.fold.transcript import links
from tests.strategies import Tape, any_runs, stored


def taped(calls: Sequence[tuple[str, str, str | None]]) -> list[Event]:
    """A run of tool calls: tool, arguments, result (None: it never ended)."""
    tape = Tape()
    tape.begin()
    for name, arguments, result in calls:
        step = tape.tool(name, arguments)
        tape.say("assistant", {"role": "assistant", "content": "hm"})
        if result is not None:
            tape.result(step, result)
    return tape.events


def test_the_facts_of_a_loop() -> None:
    """A search that comes four times, three of them in a row and two with the same result, is told with its steps."""
    events = taped([
        ("search", '{"q":"a","n":1}', '"x"'),
        ("read", "{}", '"x"'),
        ("search", '{"n": 1, "q": "a"}', '"y"'),
        ("search", '{"q":"a","n":1.0}', '"z"'),
        ("search", '{"q":"a","n":1}', '"z"'),
        ("read", '{"p":1}', '"x"'),
    ])  # fmt: skip
    first, _, third, fourth, fifth, _ = (event.seq for event in events if type(event.body).__name__ == "ToolStarted")
    assert find(events) == Repeats(
        tool_calls=6,
        distinct_calls=3,
        max_identical=4,
        max_same_call_and_result=2,
        consecutive=Stretch((third, fourth, fifth), ("search",)),
        consecutive_outcomes=Stretch((fourth, fifth), ("search",)),
        cycle=Stretch(),
        repeated=(Repeat("search", (first, third, fourth, fifth), 3),),
    )


def test_a_run_without_tools_repeats_nothing() -> None:
    """No tool calls: all figures are 0 and all stretches empty."""
    assert find(taped([])) == Repeats()
    assert (Stretch().length, Stretch().rounds) == (0, 0)


def test_circles_are_gone_round_at_least_three_times() -> None:
    """Two to four different calls in turn make a circle from the third round on; a round begun is not counted."""
    a, b, c, d = (("t", f'{{"n":{n}}}', "1") for n in range(4))
    assert find(taped([a, b] * 2)).cycle == Stretch()
    assert (find(taped([a, b] * 3 + [a])).cycle.length, find(taped([a, b] * 3 + [a])).cycle.rounds) == (6, 3)
    assert find(taped([d] + [a, b, c] * 4)).cycle.length == 12
    assert find(taped([a, b, c, d] * 3)).cycle.tools == ("t", "t", "t", "t")
    assert find(taped([a, a, b] * 3)).cycle == Stretch()
    assert find(taped([a] * 9)).cycle == Stretch()


def test_results_tell_a_loop_from_waiting() -> None:
    """Polling with changing results repeats the call but not the outcome; calls without an end are never the same."""
    polling = find(taped([("status", "{}", f'"{n}%"') for n in range(5)]))
    assert (polling.consecutive.length, polling.consecutive_outcomes.length, polling.repeated[0].results) == (5, 1, 5)
    hanging = find(taped([("status", "{}", None)] * 3))
    assert (hanging.consecutive.length, hanging.max_same_call_and_result) == (3, 1)


def test_calls_that_end_without_a_result_are_compared_by_their_end() -> None:
    """The same failure again is the same outcome; another error, or another state, is not."""
    tape = Tape()
    tape.begin()
    for error in (Failure("Timeout"), Failure("Timeout"), Failure("Timeout", "late"), None, None):
        tape.result(tape.tool("pay", "{}"), None, "failed" if error else "completed", error=error)
    assert find(tape.events).repeated[0].results == 3
    assert find(tape.events).consecutive_outcomes.length == 2


def test_the_first_end_of_a_call_counts() -> None:
    """A second end of a tool call does not change its result."""
    tape = Tape()
    tape.begin()
    for result in ('"x"', '"x"'):
        step = tape.tool("t", "{}")
        tape.result(step, result)
        tape.result(step, f'"{step}"')
    assert find(tape.events).max_same_call_and_result == 2


def test_arguments_kept_elsewhere_are_compared_as_values_when_they_can_be_had() -> None:
    """Large arguments are compared by hash, or as values with a fetch; those not kept are like no others."""
    spellings = ['{"a":1,"b":2}', '{"b":2,"a":1}', '{"a":1,"b":2}']
    blobs = {digest(text.encode()): text.encode() for text in spellings}
    by_hash = [stored(inline(text)) for text in spellings]

    def fetch(hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return {name: blobs[name] for name in hashes}

    def calls(*arguments: Content) -> list[Event]:
        tape = Tape()
        tape.begin()
        for content in arguments:
            tape.tool("t", content)
        return tape.events

    assert find(calls(*by_hash)).max_identical == 2
    assert find(calls(*by_hash), fetch).max_identical == 3
    assert find(calls(Content(level="none"), Content(level="none"))).max_identical == 1
    assert find(calls(Content(text="1", full_size=80), Content(text="1", full_size=90))).max_identical == 1
    assert find(calls(Content(hash="aa", level="hashed"), Content(hash="aa", level="hashed"))).max_identical == 2


def test_arguments_inside_a_json_string_are_read() -> None:
    """Arguments that came as JSON text in a JSON string are the same as the value itself; other text is text."""
    same = find(taped([("t", json.dumps('{"b":2,"a":1}'), "1"), ("t", '{"a":1,"b":2}', "1")]))
    other = find(taped([("t", '"ls -l"', "1"), ("t", '"ls -a"', "1"), ("t", '"ls -l"', "1"), ("t", '"broken', "1")]))
    assert (same.max_identical, other.max_identical, other.distinct_calls) == (2, 2, 3)


@st.composite
def circles(draw: st.DrawFn) -> list[str]:
    """Names that go round and round, the last round cut short."""
    names = draw(st.permutations("abcd"))[: draw(st.integers(2, 4))]
    return (names * 10)[: draw(st.integers(9, 20))]


KEYS = st.lists(st.sampled_from("abcd"), max_size=24)


@given(KEYS, st.lists(st.sampled_from("xy"), min_size=24, max_size=24))
def test_figures_are_those_of_plain_counting(names: list[str], results: list[str]) -> None:
    """Counts and longest runs equal what counting and grouping the calls gives."""
    calls = list(zip(names, results, strict=False))
    found = find(taped([(name, "{}", f'"{result}"') for name, result in calls]))
    assert (found.tool_calls, found.distinct_calls) == (len(names), len(set(names)))
    assert found.max_identical == max(Counter(names).values(), default=0)
    assert found.max_same_call_and_result == max(Counter(calls).values(), default=0)
    assert found.consecutive.length == longest(names)
    assert found.consecutive_outcomes.length == longest(calls)
    assert {each.tool: each.count for each in found.repeated} == {
        name: count for name, count in Counter(names).items() if count > 1
    }
    assert [each.count for each in found.repeated] == sorted((each.count for each in found.repeated), reverse=True)


@given(KEYS | circles())
def test_the_circle_is_the_longest_there_is(names: list[str]) -> None:
    """The circle found is as long as the best of all positions and periods, tried one by one."""
    best = 0
    for period in (2, 3, 4):
        for start in range(len(names)):
            pattern = names[start : start + period]
            rounds = 0
            while names[start + rounds * period : start + (rounds + 1) * period] == pattern:
                rounds += 1
                if len(pattern) < period:
                    break
            if rounds >= 3 and len(set(pattern)) == period:
                best = max(best, rounds * period)
    assert find(taped([(name, "{}", "1") for name in names])).cycle.length == best


@given(any_runs)
def test_any_events_have_facts(events: list[Event]) -> None:
    """On any stream the figures bound each other as they must."""
    found = find(events)
    assert found.consecutive_outcomes.length <= found.consecutive.length <= found.max_identical <= found.tool_calls
    assert found.consecutive_outcomes.length <= found.max_same_call_and_result <= found.max_identical
    assert sum(each.count - 1 for each in found.repeated) == found.tool_calls - found.distinct_calls


def test_recorded_conversations_have_the_facts_their_index_states(shared_data: Path) -> None:
    """For each recorded customer-service conversation every repetition figure equals the one counted independently."""
    checked = 0
    for row, calls in recorded(shared_data / "trajectories"):
        found = find(taped(calls))
        assert {
            "tool_calls": found.tool_calls,
            "distinct_calls": found.distinct_calls,
            "max_identical": found.max_identical,
            "longest_consecutive_identical": found.consecutive.length,
            "longest_cycle_2to4": found.cycle.length,
            "longest_run_same_call_and_result": found.consecutive_outcomes.length,
            "max_same_call_and_result": found.max_same_call_and_result,
        }.items() <= row.items()
        checked += 1
    assert checked >= 390


def longest(keys: Sequence[Any]) -> int:
    """Length of the longest run of equal neighbours."""
    return max((len(list(group)) for _, group in groupby(keys)), default=0)


def recorded(folder: Path) -> Iterator[tuple[dict[str, Any], list[tuple[str, str, str | None]]]]:
    """Index row and tool calls of the agent for each recorded customer-service conversation."""
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    for file in sorted({row["file"] for row in rows if row["file"].startswith("tau")}):
        with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
            records = [json.loads(line)["record"] for line in lines]
        for row in (row for row in rows if row["file"] == file):
            record = records[row["line"]]
            yield row, agent_calls(record["traj"] if "traj" in record else record["messages"])


def agent_calls(messages: Sequence[Any]) -> list[tuple[str, str, str | None]]:
    """The agent's own tool calls: tool, arguments, result."""
    calls = []
    for link in links(messages)[0]:
        if messages[link.asked]["role"] == "assistant":
            spelled = link.ask.arguments if isinstance(link.ask.arguments, str) else json.dumps(link.ask.arguments)
            result = None if link.answered is None else json.dumps(messages[link.answered].get("content"))
            calls.append((link.ask.name or "", spelled, result))
    return calls
