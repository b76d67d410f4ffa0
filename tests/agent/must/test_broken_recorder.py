"""When a part of the recorder fails, an agent asks its model as often, gives the same outcome, and keeps its limits."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.hooks import AppendContext, Hooks, Moment
from tachograph.agent.transcript import check
from tachograph.compose import System
from tachograph.errors import ModelError, SettingsError
from tachograph.events.usage import Usage
from tachograph.limits.guard import Intent, Spent
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.record import scope
from tachograph.settings import Settings
from tests.agent.running import agent


def explode(*_: object, **__: object) -> Any:
    """Any part of us that breaks."""
    raise RuntimeError("our own fault")


class Raising:
    """A guard of the program's own that fails."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Any:
        """It never gets so far."""
        explode()

    def settle(self, ticket: Any, settled: Any, now: int) -> Any:
        """Nor here."""
        explode()


@pytest.fixture
def system() -> Iterator[System]:
    """A recorder of its own, without a worker, with a guard that raises."""
    with tempfile.TemporaryDirectory() as home:
        made = System(Settings(home=Path(home), drain=False), guard=Raising())
        made.recorder.on_activity = None
        before = scope.use(lambda: made.recorder)
        yield made
        scope.use(before)
        made.recorder.close()


PARTS: dict[str, Callable[[System, pytest.MonkeyPatch], object]] = {
    "journal full": lambda system, patch: patch.setattr(system.recorder.journal, "append", _full),
    "journal": lambda system, patch: patch.setattr(system.recorder.journal, "append", explode),
    "codec": lambda _, patch: patch.setattr("tachograph.record.recorder.codec.encode_all", explode),
    "sanitize": lambda _, patch: patch.setattr("tachograph.record.recorder.to_json", explode),
    "scrub": lambda system, patch: patch.setattr(system.scrubber, "capture", explode),
    "a rule of the user's": lambda system, patch: patch.setattr(system.scrubber, "_scrubbers", (explode,)),
    "refusal": lambda _, patch: patch.setattr("tachograph.record.door.hit_of", explode),
    "split": lambda _, patch: patch.setattr("tachograph.record.prefix.Prefix.split", explode),
    "learn": lambda _, patch: patch.setattr("tachograph.record.prefix.Prefix.learn", explode),
    "failure": lambda _, patch: patch.setattr("tachograph.record.door.failure_of", explode),
    "feed": lambda system, patch: (
        system.recorder.feed.subscribe(),
        patch.setattr(system.recorder.feed, "publish", explode),
    ),
    "worker": lambda system, patch: patch.setattr(system.recorder, "on_activity", explode),
    "prices": lambda system, patch: patch.setattr("tachograph.compose.price_book_for", _unreadable),
    "settle": lambda _, patch: patch.setattr("tachograph.limits.budget.Budget.settle", explode),
}


def _full(*_: object) -> Any:
    raise OSError(28, "No space left on device")


def _unreadable(*_: object) -> Any:
    raise SettingsError("prices", "prices.toml", "a TOML file that can be read")


def program() -> tuple[ScriptedModel, Outcome[Any]]:
    """An agent with everything that is recorded: a retry, tools beside each other, a hook, a nudge, usage."""
    hooks = Hooks()

    @hooks.on("post_tool_use", matcher="add")
    async def remark(moment: Moment) -> AppendContext:
        return AppendContext("remarked")

    busy = ModelError("overloaded", "busy", status=529, safe=True)
    usage = Usage(10, 2, 0, 5, basis="provider")
    script: list[Any] = [busy, [Call("add", {"a": 1, "b": 2}), Call("nope"), Call("same")], Say("", usage=usage), "3"]
    model = ScriptedModel(script, name="gpt-5-mini", provider="openai")
    outcome = agent(model, hooks=hooks, instructions="Add.", limits="9 turns, 20s").run_sync("go", session="s")
    return model, outcome


def told(model: ScriptedModel, outcome: Outcome[Any]) -> dict[str, Any]:
    """What a program sees of it, ids and times apart."""
    check(outcome.messages)
    return {
        "requests": [structs.replace(request, timeout=1.0) for request in model.requests],
        "status": (outcome.status, outcome.stop_reason, outcome.answer, outcome.iterations, outcome.detail),
        "messages": outcome.messages,
        "spent": (outcome.spent.llm_calls, outcome.spent.tool_calls, outcome.usage),
    }


@pytest.fixture(scope="module")
def wanted() -> dict[str, Any]:
    """What the program gives when nothing is broken."""
    with tempfile.TemporaryDirectory() as home:
        made = System(Settings(home=Path(home), drain=False))
        made.recorder.on_activity = None
        before = scope.use(lambda: made.recorder)
        found = told(*program())
        scope.use(before)
        assert (made.recorder.health.lost, made.recorder.health.faults) == ({}, {})
        made.recorder.close()
    return found


def test_the_program_of_these_tests_does_something(wanted: dict[str, Any]) -> None:
    """Else the tests below would prove nothing."""
    assert wanted["status"] == ("completed", "final_answer", "3", 3, "")
    assert (len(wanted["requests"]), wanted["spent"][:2]) == (4, (4, 3))


@pytest.mark.parametrize("part", PARTS)
def test_a_broken_part_changes_nothing_for_the_program(
    part: str, system: System, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    """Each request is made once, byte for byte the same, and the outcome is the same."""
    with monkeypatch.context() as patch:
        PARTS[part](system, patch)
        assert told(*program()) == wanted


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("limits", "reason", "requests"),
    [
        ("3 turns", "max_iterations", 3),
        ("2 model calls", "max_llm_calls", 2),
        ("2 tool calls, no loop detection", "max_tool_calls", 3),
        ("0.2s, 90 turns, 90 model calls, no loop detection", "deadline", None),
        ("900 tokens, no loop detection", "token_budget", None),
    ],
)
def test_a_broken_part_lifts_no_limit(
    part: str, limits: str, reason: str, requests: int | None, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that never ends is stopped where it always is."""

    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0.005)
        return a + b

    model = ScriptedModel(lambda request: Call("add", {"a": len(request.messages), "b": 0}))
    with monkeypatch.context() as patch:
        PARTS[part](system, patch)
        outcome = agent(model, tools=[add], limits=limits, max_tokens=50).run_sync("go")
    assert (outcome.status, outcome.stop_reason) == ("failed", reason)
    assert requests is None or len(model.requests) == requests
    assert len(model.requests) <= 60
    check(outcome.messages)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """What cannot be recorded happens all the same, once, within its limits."""
    home = tmp_path / "home"
    home.write_text("in the way")
    made = System(Settings(home=home, drain=False))
    before = scope.use(lambda: made.recorder)
    try:
        model = ScriptedModel(lambda request: Call("add", {"a": len(request.messages), "b": 0}))
        outcome = agent(model, limits="3 turns").run_sync("go")
    finally:
        scope.use(before)
        made.recorder.close()
    assert (outcome.stop_reason, len(model.requests), outcome.run_id) == ("max_iterations", 3, None)
    assert made.recorder.health.lost.keys() == {"journal_write"}


def test_settings_that_cannot_be_used_are_said_before_anything_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a recorder there are no limits: an agent does not begin, and nothing was asked."""
    model = ScriptedModel(["never"])

    def broken() -> Any:
        raise SettingsError("capture", "some", "one of none, hashed, redacted, full")

    before = scope.use(broken)
    try:
        with pytest.raises(SettingsError, match="capture"):
            agent(model, limits="3 turns").run_sync("go")
    finally:
        scope.use(before)
    assert model.requests == []
