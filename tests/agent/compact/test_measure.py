from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from tachograph.agent.compact.measure import Gauge, Load
from tachograph.events.chat import Media, ToolUse, assistant, user
from tachograph.events.usage import MISSING, Usage
from tachograph.limits.estimate import tokens_of
from tachograph.providers.port import ToolSpec
from tests.agent.compact.conversations import turn

TALK = tuple(turn("Where is my order?", "It is in transit. " * 500))
"""Some 9,000 bytes."""


def counted(tokens: int) -> Usage:
    """What a provider says of a request."""
    return Usage(input_uncached=tokens, output=5, basis="provider")


def test_nothing_of_a_request_is_left_out() -> None:
    """Arguments of calls, schemas of tools, reminders and media: each makes it larger."""
    bare = Load((user("hi"), assistant("hello")))
    call = ToolUse("c", "look", '{"q": "' + "a" * 100 + '"}')
    sizes = [
        load.size - bare.size
        for load in (
            Load((user("hi"), assistant("hello", call))),
            Load(bare.messages, tools=(ToolSpec("look", "Looks something up."),)),
            Load(bare.messages, (user("be brief"),)),
            Load((user(["hi", Media("image", "image/png", data=b"x" * 10)]), assistant("hello"))),
        )
    ]
    assert min(sizes[0] - 110, sizes[1] - 60, sizes[2] - 8, sizes[3] - 8000) >= 0


def test_the_first_measure_is_the_rule_of_the_limits() -> None:
    """Before anybody has counted: bytes and the family of the model."""
    load = Load(TALK)
    assert Gauge().scale("gpt-5", load).tokens(TALK) == tokens_of(load.size, "gpt-5")


@given(tokens=some.integers(100, 9000))
def test_what_a_provider_counted_takes_its_place(tokens: int) -> None:
    """The same request measures what it was counted as; twice the text about twice that."""
    load = Load(TALK)
    gauge = Gauge().heard("gpt-5", load, counted(tokens))
    scale = gauge.scale("gpt-5", load)
    assert abs(scale.tokens(TALK) - tokens) <= 1
    assert abs(scale.tokens(TALK * 2) - 2 * tokens) <= 2
    assert gauge.scale("claude-opus-4", load).known is None


def test_a_small_request_says_little() -> None:
    """What a provider puts around it is most of what it counts."""
    load = Load((user("hi"),), tools=(ToolSpec("look", "Looks something up."),))
    assert Gauge().heard("gpt-5", load, counted(90)).scale("gpt-5", load).known is None


def test_usage_that_nobody_stated_teaches_nothing() -> None:
    """A guess is not counted."""
    gauge = Gauge(full=3.0)
    assert gauge.heard("m", Load(TALK), MISSING) == gauge
    assert gauge.heard("m", Load(TALK), Usage(input_uncached=7, basis="estimated")) == gauge


def test_a_refused_request_is_at_least_as_large_as_the_window() -> None:
    """The measure was too low, and is put right; without a window there is nothing to learn."""
    load = Load(TALK)
    gauge = Gauge().heard("m", load, counted(1000))
    assert gauge.refused("m", load, None) == gauge
    assert abs(gauge.refused("m", load, 5000).scale("m", load).tokens(TALK) - 5001) <= 1
    assert gauge.refused("m", load, 500) == gauge


@given(added=some.text(max_size=50), most=some.integers(2900, 3200))
def test_the_quick_answer_is_never_wrong(added: str, most: int) -> None:
    """Where it says that a request is within a mark, the measure says so too."""
    before, now = Load(TALK), Load((*TALK, user(added)))
    gauge = Gauge().heard("gpt-5", before, counted(3000))
    within = gauge.surely_within("gpt-5", now, most)
    assert within == (3000 + len(added.encode()) + 16 <= most)
    assert not within or gauge.scale("gpt-5", now).tokens(now.messages) <= most
    assert not Gauge().surely_within("gpt-5", now, 10**9)
    assert not gauge.surely_within("gpt-5", Load(now.messages[1:]), 10**9)


def test_a_smaller_conversation_may_pass_its_marks_again() -> None:
    """How full it is starts from what is left; that it is still too large is remembered."""
    gauge = Gauge(full=93.0)
    assert gauge.smaller(250, 1000, 300) == Gauge(full=25.0)
    assert gauge.smaller(400, 1000, 300) == Gauge(full=40.0, futile=400)
    assert gauge.smaller(400, None, 500) == Gauge()
