from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.compact.policy import Compaction, Marks, room_of
from tachograph.errors import SettingsError
from tachograph.events.chat import Message, user
from tachograph.providers.scripted import ScriptedModel


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"at": 0}, "at"),
        ({"at": 1.5}, "at"),
        ({"to": True}, "to"),
        ({"at": 0.5, "to": 0.5}, "to"),
        ({"at": 1000, "to": 2000}, "to"),
        ({"keep": 0}, "keep"),
        ({"rounds": 0}, "rounds"),
        ({"prune_above": 499}, "prune_above"),
        ({"summary_tokens": 1}, "summary_tokens"),
        ({"attempts": 3}, "attempts"),
        ({"attempts": -1}, "attempts"),
        ({"seconds": 0}, "seconds"),
        ({"steps": ("prune", "guess")}, "steps"),
        ({"steps": "prune"}, "steps"),
        ({"pinned": "plan"}, "pinned"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(fields: dict[str, Any], name: str) -> None:
    """A policy with such a field is an error that names it."""
    with pytest.raises(SettingsError, match=name):
        Compaction(**fields)
    with pytest.raises(SettingsError, match=name):
        Compaction().but(**fields)


def test_a_field_that_is_none_is_named() -> None:
    """The keywords of `but` are the fields."""
    with pytest.raises(SettingsError, match="sliding"):
        Compaction().but(sliding=3)


@pytest.mark.parametrize(
    ("fields", "window", "most", "marks"),
    [
        ({}, 100_000, 20_000, Marks(64_000, 40_000)),
        ({}, 100_000, None, Marks(76_723, 47_952)),
        ({}, 4_000, 8_000, Marks(1_600, 1_000)),
        ({}, None, 8_000, None),
        ({"at": 50_000}, None, None, Marks(50_000, 25_000)),
        ({"at": 50_000, "to": 10_000}, 20_000, 4_000, Marks(16_000, 10_000)),
        ({"at": 0.1, "to": 90_000}, 100_000, 20_000, Marks(8_000, 8_000)),
    ],
)
def test_marks_leave_room_for_the_reply(
    fields: dict[str, Any], window: int | None, most: int | None, marks: Marks | None
) -> None:
    """Shares are of the window without what a reply may take; without a window only tokens can be told."""
    assert Compaction(**fields).marks(window, most) == marks


def test_at_least_half_of_a_window_is_for_the_request() -> None:
    """However much a reply may take."""
    assert (room_of(1000, 300), room_of(1000, 5000), room_of(7, 7)) == (700, 500, 4)


def test_messages_are_pinned_by_name_or_by_a_function() -> None:
    """A function that raises does not give leave to drop anything."""
    plan = Message("user", "the plan", name="plan")
    assert [Compaction(pinned=["plan"]).pins(one) for one in (plan, user("plan"))] == [True, False]
    by_text = Compaction(pinned=lambda message: "plan" in message.text)
    assert [by_text.pins(one) for one in (user("plan"), user("x"))] == [True, False]
    assert Compaction(pinned=lambda message: 1 / 0 > 0).pins(user("x"))


def test_a_summariser_may_be_a_model_a_name_or_the_agents_own() -> None:
    """A name becomes a model when it is first needed."""
    model = ScriptedModel([])
    assert Compaction().port is None
    assert Compaction(summariser=model).port is model
    with pytest.raises(SettingsError):
        _ = Compaction(summariser="nobody's model").port
