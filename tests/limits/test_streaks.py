from __future__ import annotations

from tachograph.limits.canonical import spelled
from tachograph.limits.streaks import (
    CALLS,
    EVIDENCE,
    TOOLS,
    Call,
    Circle,
    Memory,
    Order,
    Place,
    Streak,
    Tool,
    Turn,
    steps_of,
)


def turn(tool: str, arguments: str, result: bytes | None = b"r", memory: Memory | None = None) -> Turn:
    """A request that was answered."""
    memory = memory or Memory()
    place = Place(memory.call(f"{tool} {arguments}".encode()), memory.tool(tool))
    place.result = result
    return Turn(place, spelled(arguments))


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    """So many calls and tools are kept; what was asked for again in between stays."""
    memory = Memory()
    first, second, tool = memory.call(b"first"), memory.call(b"second"), memory.tool("first")
    for number in range(CALLS - 1):
        memory.call(b"first")
        memory.call(b"%d" % number)
    assert memory.call(b"first") is first
    assert memory.call(b"second") is not second
    for number in range(TOOLS):
        memory.tool(str(number))
    assert memory.tool("first") is not tool
    assert (len(memory._calls), len(memory._tools)) == (CALLS, TOOLS)


def test_evidence_is_the_last_of_what_was_recorded() -> None:
    """Places without a seq are left out, and no more than the last few are kept."""
    call, tool = Call(), Tool("t")
    for number in range(EVIDENCE + 5):
        place = Place(call, tool)
        place.step = number or None
        call.places.append(place)
    assert steps_of(call.places) == tuple(range(5, EVIDENCE + 5))
    unrecorded = Place(call, tool)
    assert steps_of([unrecorded]) == ()


def test_a_streak_counts_what_was_said_one_after_the_other() -> None:
    """The same said by calls that knew of the one before counts each time; another thing begins anew."""
    tool = Tool("t")
    for number in (1, 2, 3):
        place = Place(Call(), tool)
        place.opened()
        tool.same = tool.same.after(b"r", place, place.close()[1])
        assert tool.same.count == number
    tool.same = tool.same.after(b"s", Place(Call(), tool), None)
    assert tool.same.count == 1
    assert tool.same.after(None, Place(Call(), tool), None).count == 0


def test_answers_to_calls_that_were_made_together_count_once() -> None:
    """Nobody could learn from what was not said yet; the next call could."""
    tool = Tool("t")
    together = [Place(Call(), tool) for _ in range(5)]
    for place in together:
        place.opened()
    for place in together:
        tool.failures = tool.failures.after("KeyError", place, place.close()[0])
    assert tool.failures.count == 1
    later = Place(Call(), tool)
    later.opened()
    tool.failures = tool.failures.after("KeyError", later, later.close()[0])
    assert tool.failures.count == 2


def test_one_call_alone_makes_no_streak_of_others() -> None:
    """With `others`, a call that says the same again does not count; another call does."""
    tool, one, other = Tool("t"), Call(), Call()
    streak = Streak()
    for call in (one, one, other, one):
        streak = streak.after(b"r", Place(call, tool), (streak, streak.count), others=True)
    assert streak.count == 3


def test_answered_places_hold_no_streaks() -> None:
    """What a place knew is forgotten with its answer: places and streaks do not keep each other for ever."""
    place = Place(Call(), Tool("t"))
    place.opened()
    place.close()
    assert (place.open, place.call.open, place.failures, place.same) == (False, 0, None, None)


def circles(order: Order, last: Turn) -> list[Circle]:
    """What would go round with this request."""
    return list(order.circles(last))


def test_a_circle_is_found_with_its_length_and_tools() -> None:
    """A-B-A-B and then A is a circle of two that is five long, this request counted."""
    memory, order = Memory(), Order(40)
    for name in ("x", "a", "b", "a", "b"):
        order.add(turn(name, "{}", memory=memory))
    [found] = circles(order, turn("a", "{}", None, memory))
    assert (found.period, found.length, found.tools, [each.place.tool.name for each in found.turns]) == (
        2, 5, ["a", "b"], ["a", "b", "a", "b"],
    )  # fmt: skip
    assert circles(order, turn("b", "{}", None, memory)) == []


def test_circles_of_three_and_four_are_found_and_five_are_not() -> None:
    """Two to four different calls make a circle."""
    found = []
    for names in ("aa", "ab", "abc", "abcd", "abcde"):
        memory, order = Memory(), Order(40)
        for name in names * 3:
            order.add(turn(name, "{}", memory=memory))
        found.append([circle.period for circle in circles(order, turn(names[0], "{}", None, memory))])
    assert found == [[], [2], [3], [4], []]


def test_another_result_breaks_a_circle() -> None:
    """Each round must have had the results of the one before; one that is not known yet is taken to be equal."""
    memory, order = Memory(), Order(40)
    for name, result in (("a", b"1"), ("b", b"2"), ("a", b"1"), ("b", None), ("a", b"1"), ("b", b"2")):
        order.add(turn(name, "{}", result, memory))
    assert [circle.length for circle in circles(order, turn("a", "{}", None, memory))] == [7]
    order.add(turn("a", "{}", b"other", memory))
    assert circles(order, turn("b", "{}", None, memory)) == []


def test_nearly_the_same_calls_are_alike() -> None:
    """Calls of one tool whose arguments have the same words are alike; other words, or too many, are not."""
    base = turn("search", '{"q": "Fares to B"}')
    assert base.is_alike(turn("search", '{"q": "fares  to b!"}'))
    assert not base.is_alike(turn("search", '{"q": "fares to c"}'))
    assert not base.is_alike(turn("read", '{"q": "Fares to B"}'))
    long = "w " * 3_000
    assert not turn("search", f'{{"q": "{long}"}}').is_alike(turn("search", f'{{"q": "{long}!"}}'))
