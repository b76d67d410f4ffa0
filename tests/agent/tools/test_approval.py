from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from tachograph.agent.tools.approval import Allow, Approve, Asked, Decision, Deny, Edit, decide
from tachograph.agent.tools.tool import Tool
from tests.agent.tools.timed import back_within


def send(to: str, copies: int = 1) -> str:
    """Send a letter."""
    return to * copies


ASKED = Asked(Tool.of(send, approve=True), {"to": "Ann"}, run_id="run_1")


def ask(approve: Approve | None, seconds: float | None = 5) -> Decision:
    """A decision."""
    return asyncio.run(decide(approve, ASKED, seconds))


@pytest.mark.parametrize(
    "decision", [Allow(), Deny("no"), Edit({"to": "Bob", "copies": 2})], ids=["allow", "deny", "edit"]
)
def test_a_decision_is_taken_however_it_is_given(decision: Decision) -> None:
    """From a plain function, an async one, and a plain one that returns something to await; with or without a bound."""

    async def later(asked: Asked) -> Decision:
        assert asked is ASKED
        return decision

    def handed(asked: Asked) -> Awaitable[Decision]:
        return later(asked)

    assert [ask(one) for one in (later, lambda asked: decision, handed)] == [decision] * 3
    assert ask(later, None) == decision


def test_nobody_there_is_a_no() -> None:
    """A tool that needs approval does not run where nobody can give it."""
    assert ask(None) == Deny("send needs approval, and nobody is there to give it.")


@pytest.mark.parametrize(
    ("answer", "named"),
    [(True, "bool"), (None, "NoneType"), ("allow", "str"), (Allow, "type")],
    ids=["yes", "none", "text", "class"],
)
def test_an_answer_that_is_none_is_a_no(answer: Any, named: str) -> None:
    """Only the three decisions are decisions."""
    assert ask(lambda asked: answer) == Deny(f"The approval of send gave no decision ({named}).")


def test_an_exception_is_a_no() -> None:
    """Whatever the callback raises, the call is denied; its message is for the log, not for the model."""

    def broken(asked: Asked) -> Decision:
        raise ValueError("a secret detail")

    async def exits(asked: Asked) -> Decision:
        raise SystemExit(1)

    assert ask(broken) == Deny("The approval of send failed (ValueError).")
    assert ask(exits) == Deny("The approval of send failed (SystemExit).")


def test_no_answer_in_time_is_a_no() -> None:
    """Control is back, whether the callback waits on the loop or in its thread."""

    async def later(asked: Asked) -> Decision:
        await asyncio.sleep(30)
        return Allow()

    def blocking(asked: Asked) -> Decision:
        time.sleep(2)
        return Allow()

    for approve in (later, blocking):
        assert back_within(0.45, partial(ask, approve, 0.2)) == Deny(
            "Nobody decided within 0.2 s whether send may run."
        )


@pytest.mark.parametrize("arguments", [{"copies": 2}, {"to": 3}, {"to": "Ann", "cc": "Bob"}, None, "to=Ann"], ids=str)
def test_edited_arguments_that_do_not_fit_are_a_no(arguments: Any) -> None:
    """They are checked like those of a model."""
    denied = ask(lambda asked: Edit(arguments))
    assert isinstance(denied, Deny)
    assert denied.reason.startswith("The arguments that were put in place do not fit. The arguments of send ")


def test_the_callers_cancellation_passes_on() -> None:
    """Nothing is decided then."""

    async def later(asked: Asked) -> Decision:
        await asyncio.sleep(30)
        return Allow()

    async def main() -> bool:
        waiting = asyncio.ensure_future(decide(later, ASKED, 30))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait((waiting,))
        return waiting.cancelled()

    assert asyncio.run(main())
