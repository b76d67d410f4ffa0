from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.limits.guard import Notice, Refused, Settled
from tachograph.limits.loops import Detector, Loops, Repeat
from tachograph.limits.streaks import CALLS, TOOLS, Place

SECOND = 1_000_000_000
OFF: dict[str, Any] = dict.fromkeys(("warn", "block", "skip", "stop", "news", "cycle", "errors", "no_progress"))
"""Loops with every rule taken away, to put one back."""


class Run:
    """A run whose tools answer at once, and what the detector said of each request."""

    def __init__(self, loops: Loops | None = None) -> None:
        self.detector = Detector(loops or Loops())
        self.said: list[str] = []
        self.verdicts: list[Notice | Refused | None] = []
        self.places: list[Place] = []
        self.now = 0

    def ask(self, tool: str, arguments: Any = None) -> Place | None:
        """A request; its place when it is admitted. Its number is the seq of its start."""
        place, verdict = self.detector.ask(tool, arguments, self.now)
        self.detector.began(place, len(self.said))
        self.said.append("run" if verdict is None else verdict.mode)
        self.verdicts.append(verdict)
        self.places.append(place)
        return None if isinstance(verdict, Refused) else place

    def call(self, tool: str, arguments: Any = None, result: Any = "r", *, error: str = "") -> str:
        """A request and its answer; what was said of it."""
        place = self.ask(tool, arguments)
        if place is not None:
            status = "failed" if error else "completed"
            self.detector.answered(place, Settled(status, result=result, error=error))
        return self.said[-1]

    def calls(self, *requests: tuple[Any, ...]) -> list[str]:
        """Several, one after the other."""
        return [self.call(*request) for request in requests]

    @property
    def last(self) -> Any:
        """The last verdict."""
        return self.verdicts[-1]


# ---- equal calls of equal results -----------------------------------------------------------------------------------


def test_the_shipped_ladder() -> None:
    """The same call with the same result runs, is warned about, blocked, skipped, and ends the run at the sixth."""
    run = Run()
    assert run.calls(*[("search", {"q": 1})] * 7) == ["run", "warn", "block", "skip", "skip", "stop", "stop"]


def test_a_verdict_says_what_was_measured_and_shows_the_calls() -> None:
    """Metric, used, requested, threshold, mode, a reason in words, and the seqs of the repeated calls."""
    run = Run()
    run.calls(*[("search", {"q": 1})] * 6)
    assert run.verdicts[1:3] == [
        Notice(
            "tool_loop", 1, 1, 2, "run", "warn",
            "This is request 2 for search with the same arguments. If its result is the same again, do not ask for it "
            "once more: a further request will not be run. Use the result you have, change the arguments, or go on "
            "without it.", (0,),
        ),
        Refused(
            "tool_loop", 2, 1, 3, "run", "block",
            "search was not run: it was asked for twice before with the same arguments. Use the result you have, "
            "change the arguments, or go on without it.", (0, 1),
        ),
    ]  # fmt: skip
    assert run.last == Refused(
        "tool_loop", 5, 1, 6, "run", "stop",
        "search was asked for 6 times with the same arguments and the same result.", (0, 1, 2, 3, 4),
    )  # fmt: skip
    assert [place.rule for place in run.places] == ["", *["repeat"] * 5]


def test_other_tools_in_between_do_not_reset() -> None:
    """A-B-A counts two; with what was told before in between, the third A is blocked."""
    run = Run()
    assert run.calls(("b",), ("a",), ("b",), ("a",), ("b",), ("a",)) == ["run", "run", "warn", "warn", "block", "block"]


def test_a_changed_result_resets_to_one() -> None:
    """After another result the count begins anew, with that result as the first."""
    run = Run()
    results = ["x", "x", "y", "y"]
    assert run.call("a", 1, "x") == "run"
    assert run.call("a", 1, "y") == "warn"
    assert [run.call("a", 1, result) for result in ("y", "y")] == ["warn", "block"]
    assert len(results) == 4
    other = Run()
    assert [other.call("status", 1, number) for number in range(20)] == ["run", *["warn"] * 19]


def test_arguments_are_compared_as_values() -> None:
    """Key order, white space and the spelling of numbers make no other call; other arguments do."""
    run = Run()
    asked = ['{"a": 1, "b": 2}', {"b": 2.0, "a": 1}, '{"b":2,"a":1e0}']
    assert [run.call("t", each) for each in asked] == ["run", "warn", "block"]
    assert run.call("t", '{"a": 2, "b": 2}') == "run"


def test_malformed_arguments_are_calls_too() -> None:
    """The same broken JSON again is the same call again."""
    run = Run()
    assert run.calls(*[("t", '{"a": ')] * 3) == ["run", "warn", "block"]
    assert run.call("t", '{"a": 1') == "run"


def test_fields_that_a_policy_ignores_do_not_count() -> None:
    """A timestamp in the arguments hides no loop, for the tool that says so."""
    loops = Loops(tools={"t": Repeat(ignore=("at", "options.id"))})
    run = Run(loops)
    asked = [{"q": 1, "at": number, "options": {"id": number}} for number in range(3)]
    assert [run.call("t", each) for each in asked] == ["run", "warn", "block"]
    assert [Run(loops).call("u", each) for each in asked] == ["run", "run", "run"]


@pytest.mark.parametrize(
    ("loops", "said"),
    [
        (Loops(warn=None), ["run", "run", "block", "skip", "skip", "stop"]),
        (Loops(block=None), ["run", "warn", "warn", "skip", "skip", "stop"]),
        (Loops(block=0, skip=0), ["run", "warn", "warn", "warn", "warn", "stop"]),
        (Loops(stop=None), ["run", "warn", "block", "skip", "skip", "skip"]),
        (Loops(stop=2), ["run", "stop", "stop", "stop", "stop", "stop"]),
        (Loops(mode="handoff", stop=3), ["run", "warn", "handoff", "handoff", "handoff", "handoff"]),
        (Loops(mode="wrap_up", stop=3), ["run", "warn", "wrap_up", "wrap_up", "wrap_up", "wrap_up"]),
        (Loops(mode="observe"), ["run", "warn", "block", "skip", "skip", "skip"]),
        (Loops(**{**OFF, "stop": 3, "mode": "observe"}), ["run", "run", "observe", "run", "run", "run"]),
        (Loops(**OFF), ["run"] * 6),
    ],
)
def test_each_answer_can_be_taken_away_and_the_last_one_chosen(loops: Loops, said: list[str]) -> None:
    """Without a rung the one below it stays in force; `mode` is what the last one does; observing refuses nothing."""
    assert Run(loops).calls(*[("t",)] * 6) == said


# ---- what is new in between -----------------------------------------------------------------------------------------


def test_what_is_new_lets_an_equal_call_run_once_more() -> None:
    """A test that is run again after each edit is warned about, not refused, and its new result resets the count."""
    run = Run()
    assert run.calls(("test",), ("edit", 1, "x"), ("test",), ("edit", 2, "y"), ("test",)) == [
        "run", "run", "warn", "run", "warn",
    ]  # fmt: skip
    assert run.places[-1].rule == "renewed"
    assert run.call("test") == "block"
    assert run.calls(("edit", 3, "z"), ("edit", 4, "z2"), ("test", None, "passed")) == ["run", "run", "warn"]
    assert run.calls(("test", None, "passed"), ("test", None, "passed")) == ["warn", "block"]


def test_each_further_time_takes_more_news() -> None:
    """A tool that always says something new, a clock, keeps no loop going: the run ends all the same."""
    run = Run()
    executed = 0
    for number in range(60):
        executed += run.call("search") in ("run", "warn")
        if run.said[-1] == "stop":
            break
        run.call("clock", None, number)
    assert run.said[-1] == "stop"
    assert executed <= 7


def test_failures_and_polling_tools_bring_no_news() -> None:
    """First calls that fail, and a polling tool's changing answers, let nothing run again."""
    run = Run(Loops(tools={"poll": Repeat(poll=True)}))
    run.calls(("test",), ("test",))
    run.call("edit", 1, error="KeyError")
    run.calls(("poll", None, 1), ("poll", None, 2))
    assert run.call("test") == "block"


def test_news_can_be_taken_away() -> None:
    """Without it what is refused stays refused, whatever happens in between."""
    run = Run(Loops(news=None))
    run.calls(("test",), ("edit", 1, "x"), ("test",), ("edit", 2, "y"))
    assert run.call("test") == "block"


# ---- calls at the same time -----------------------------------------------------------------------------------------


def test_equal_calls_of_one_reply_count() -> None:
    """Asking six times before any answer is there is no way round the thresholds."""
    run = Run()
    places = [run.ask("t", {"q": 1}) for _ in range(6)]
    assert run.said == ["run", "warn", "block", "skip", "skip", "stop"]
    assert [place is not None for place in places] == [True, True, False, False, False, False]


def test_an_unknown_result_counts_as_equal_until_it_is_not() -> None:
    """When the answers turn out to differ, only the last of them counts; an answer that comes twice counts once."""
    run = Run()
    first, second = run.ask("t"), run.ask("t")
    assert first is not None
    assert second is not None
    run.detector.answered(first, Settled(result="x"))
    run.detector.answered(second, Settled(result="y"))
    run.detector.answered(second, Settled(result="z"))
    assert run.calls(("t", None, "y"), ("t", None, "y")) == ["warn", "block"]
    assert run.last.evidence == (1, 2)


def test_a_cancelled_call_says_nothing_about_its_result() -> None:
    """What was cancelled or abandoned has no result to compare; asking for it again counts."""
    run = Run()
    for status in ("cancelled", "abandoned"):
        place = run.ask("t")
        assert place is not None
        run.detector.answered(place, Settled(status))
    assert run.call("t") == "block"


def test_one_reply_that_fails_in_parallel_is_one_failure() -> None:
    """Many calls of one reply that fail alike, or find alike, are one lesson, not many."""
    run = Run()
    for wave in range(2):
        places = [run.ask("read", {"path": f"{wave}.{number}"}) for number in range(20)]
        for place in places:
            assert place is not None
            run.detector.answered(place, Settled("failed", error="FileNotFoundError"))
    assert run.said == ["run"] * 40


# ---- the other rules ------------------------------------------------------------------------------------------------


def test_so_many_equal_calls_of_a_run() -> None:
    """With `same_calls` the third equal call ends the run, whatever the results were; other calls do not count."""
    run = Run(Loops(**{**OFF, "same_calls": 3}))
    assert run.calls(("t", 1, "x"), ("t", 2, "x"), ("t", 1, "y"), ("t", 1, "z")) == ["run", "run", "run", "stop"]
    assert (run.last.metric, run.last.used, run.last.threshold, run.last.evidence) == ("tool_loop", 2, 3, (0, 2))
    assert "3 times" in run.last.reason


def test_a_circle_counts_as_a_repetition() -> None:
    """After three rounds of two calls with the same results the next is blocked, and going on ends the run."""
    words = [("a", "Fares to B"), ("b", 1), ("a", "fares  to B"), ("b", 1.0)]
    loops = Loops(**{**OFF, "cycle": 3, "warn": 50, "block": 51, "skip": 52, "stop": 54})
    run = Run(loops)
    said = run.calls(*[(*words[number % 4], "r") for number in range(12)])
    assert said == ["run"] * 4 + ["warn", "run", "block", "skip", "skip", "stop", "stop", "stop"]
    assert run.verdicts[6] == Refused(
        "tool_loop", 3, 1, 3, "run", "block",
        "Not run: a, b were called in a circle, 3 rounds with the same results. Use the result you have, change the "
        "arguments, or go on without it.", (0, 1, 2, 3, 4, 5),
    )  # fmt: skip
    alone = Run(Loops(**{**OFF, "cycle": 3}))
    assert alone.calls(*[(*words[number % 4], "r") for number in range(7)]) == ["run"] * 6 + ["stop"]


@pytest.mark.parametrize("changing", range(2))
def test_a_circle_with_news_is_none(changing: int) -> None:
    """When one of its calls brings another result each round, going round is getting on."""
    run = Run(Loops(**{**OFF, "cycle": 3}))
    for number in range(12):
        run.call("ab"[number % 2], None, number if number % 2 == changing else "r")
    assert run.said == ["run"] * 12


def test_the_same_error_again_and_again() -> None:
    """Before the fifth failure of one class the model is warned; after it the next call of the tool ends the run."""
    run = Run()
    said = [run.call("pay", {"n": number}, None, error="TimeoutError") for number in range(6)]
    assert said == ["run"] * 4 + ["warn", "stop"]
    assert run.last == Refused(
        "tool_loop", 5, 1, 5, "run", "stop", "pay failed 5 times in a row with TimeoutError.", (0, 1, 2, 3, 4)
    )


@pytest.mark.parametrize("between", [{"result": "paid"}, {"error": "KeyError"}])
def test_success_or_another_error_begins_anew(between: dict[str, Any]) -> None:
    """Only an unbroken row of one class of error counts; other tools do not break it."""
    run = Run(Loops(**{**OFF, "errors": 3}))
    for number in range(2):
        run.call("pay", number, error="TimeoutError")
        run.call("other", number)
    run.call("pay", "x", **between)
    assert [run.call("pay", number, error="TimeoutError") for number in (7, 8)] == ["run", "run"]
    run.call("pay", 9, error="TimeoutError")
    assert run.call("pay", 10) == "stop"


def test_no_progress() -> None:
    """One tool with other arguments each time and always the same result: warned at five, ended after six."""
    run = Run()
    said = [run.call("search", {"page": number}, "no rows") for number in range(7)]
    assert said == ["run"] * 5 + ["warn", "stop"]
    assert run.last == Refused(
        "no_progress", 6, 1, 6, "run", "stop",
        "search returned the same 6 times in a row for different arguments.", (0, 1, 2, 3, 4, 5),
    )  # fmt: skip


@pytest.mark.parametrize("result", [None, "", "ok", {"status": "success"}, True])
def test_acknowledgements_are_no_sign_of_standing_still(result: Any) -> None:
    """A tool that writes answers all calls alike, and is getting on."""
    run = Run()
    assert [run.call("write", {"file": number}, result) for number in range(20)] == ["run"] * 20


@pytest.mark.parametrize("rule", [{"errors": 2}, {"no_progress": 2}, {"same_calls": 2}])
def test_observing_ends_nothing_and_says_it_once(rule: dict[str, int]) -> None:
    """In mode observe each rule is noted when it is reached, and calls run on."""
    run = Run(Loops(**{**OFF, **rule, "mode": "observe"}))
    for number in range(6):
        run.call("t", None if "same_calls" in rule else number, "r", error="KeyError" if "errors" in rule else "")
    assert sorted(run.said) == ["observe", "run", "run", "run", "run", "run"]
    assert isinstance(next(filter(None, run.verdicts)), Notice)


def test_the_strongest_answer_counts() -> None:
    """Where several rules speak, the one that ends the run is heard."""
    run = Run(Loops(same_calls=3))
    assert run.calls(*[("t",)] * 3) == ["run", "warn", "stop"]
    assert run.places[-1].rule == "same_calls"


# ---- tools that poll ------------------------------------------------------------------------------------------------


def test_a_tool_that_polls_may_ask_again() -> None:
    """Equal results are no loop for it, and `same_calls` does not count it; its errors still do."""
    run = Run(Loops(same_calls=3, tools={"status": Repeat(poll=True)}))
    assert run.calls(*[("status", 1)] * 30) == ["run"] * 30
    assert [run.call("status", 1, error="TimeoutError") for _ in range(6)] == ["run"] * 4 + ["warn", "stop"]


def test_a_tool_that_polls_waits() -> None:
    """Within `every` seconds an equal call is blocked with the time to wait, and does not count; another is not."""
    run = Run(Loops(tools={"status": Repeat(poll=True, every=5, most=3)}))
    assert run.call("status", 1) == "run"
    run.now = 2 * SECOND
    assert [run.call("status", 1) for _ in range(9)] == ["block"] * 9
    assert (run.last.used, run.last.threshold, run.places[-1].rule) == (2, 5, "interval")
    assert "3 seconds" in run.last.reason
    assert run.call("status", 2) == "run"
    run.now = 5 * SECOND
    assert run.call("status", 1) == "run"


@pytest.mark.parametrize(
    ("loops", "then"),
    [({}, ["block", "skip", "skip", "stop"]), ({"block": None, "skip": None, "stop": None}, ["block"] * 4)],
)
def test_a_tool_that_polls_has_an_end(loops: dict[str, Any], then: list[str]) -> None:
    """After `most` equal calls it is refused, step by step like other repetitions; without steps it stays blocked."""
    run = Run(Loops(**loops, tools={"status": Repeat(poll=True, most=2)}))
    assert run.calls(*[("status", None, number) for number in range(6)]) == ["run", "run", *then]


# ---- always ---------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.sampled_from("abp"), st.integers(0, 1), st.booleans()), max_size=60)


@given(STEPS, st.integers(2, 5), st.lists(st.integers(0, 1), min_size=60, max_size=60))
def test_no_equal_call_is_admitted_beyond_its_threshold(
    steps: Sequence[tuple[str, int, bool]], block: int, results: Sequence[int]
) -> None:
    """Whatever is asked in whatever order, answered at once or late: so many equal calls of one result run, no more.

    Tools that poll are never refused, and a result that changed lets a call run again.
    """
    loops = Loops(block=block, news=None, cycle=None, errors=None, no_progress=None, tools={"p": Repeat(poll=True)})
    run = Run(loops)
    waiting: list[tuple[Place, tuple[str, int], int]] = []
    row: dict[tuple[str, int], int] = {}
    before: dict[tuple[str, int], int] = {}

    def answer(place: Place, key: tuple[str, int], result: int) -> None:
        run.detector.answered(place, Settled(result=result))
        row[key] = row.get(key, 0) + 1 if before.get(key) == result else 1
        before[key] = result

    for (tool, arguments, late), result in zip(steps, results, strict=False):
        place = run.ask(tool, arguments)
        assert place is not None or tool != "p"
        if place is not None:
            waiting.append((place, (tool, arguments), result))
        if not late:
            for each in waiting:
                answer(*each)
            waiting.clear()
        assert [key for key, count in row.items() if count >= block and key[0] != "p"] == []


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(3, 5))
def test_whenever_the_result_changed_the_call_may_run_again(results: Sequence[int], block: int) -> None:
    """The request after a changed result is admitted, whatever there was before."""
    run = Run(Loops(block=block, news=None, errors=None, no_progress=None))
    before: int | None = None
    changed = True
    for result in results:
        said = run.call("a", None, result)
        assert said in ("run", "warn") or not changed
        if said in ("run", "warn"):
            before, changed = result, before != result


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 1)), max_size=60))
def test_insisting_always_ends_the_run(history: Sequence[tuple[str, int, int]]) -> None:
    """After any history, the same call with the same result over and over reaches a stop within a few requests."""
    run = Run()
    for tool, arguments, result in history:
        run.call(tool, arguments, result)
    said = run.calls(*[("z", None, "same")] * 6)
    assert said == ["run", "warn", "block", "skip", "skip", "stop"]


def test_memory_stays_bounded() -> None:
    """A hundred thousand calls of ever new tools and arguments leave no more behind than a few thousand do."""
    run = Detector(Loops())
    sizes = []
    tracemalloc.start()
    try:
        for number in range(4 * CALLS):
            place, _ = run.ask(f"t{number % (2 * TOOLS)}", {"n": number, "text": "x" * 200}, number)
            run.began(place, number)
            run.answered(place, Settled(result=number))
            if number in (2 * CALLS, 4 * CALLS - 1):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] < 1.1 * sizes[0] < 30_000_000
