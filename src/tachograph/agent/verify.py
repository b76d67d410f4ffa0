"""Verification: a function or a command says whether an answer may stand. What cannot be asked does not agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tachograph.agent.live import Live
from tachograph.agent.pace.bounded import Overdue, answer_of
from tachograph.agent.spec import Verify
from tachograph.agent.tools.command import command
from tachograph.record.step import step

_MOST_BYTES = 4_000


async def verified(live: Live, verify: Verify, answer: str, value: Any) -> str:
    """What stands against an answer, in words for the model; empty when nothing does. A step of its own."""
    seconds = live.within(verify.seconds)
    with step(verify.name, kind="guardrail", input=answer) as record:
        if callable(verify.check):
            wrong = await _asked(verify.check, answer if value is None else value, seconds)
        else:
            wrong = await _run(tuple(verify.check), answer, seconds)
        record.output = {"accepted": not wrong, "reason": wrong}
    return wrong


async def _asked(check: Callable[[Any], Any], value: Any, seconds: float | None) -> str:
    try:
        said, problem = await answer_of(check, value, seconds=seconds)
    except Overdue as late:
        return f"The verification did not finish within {late.seconds:g} s."
    except RuntimeError as unable:  # no thread could be started
        said, problem = None, unable
    if problem is not None:
        return f"The verification failed: {type(problem).__name__}: {problem}"
    if said is True:
        return ""
    return said if isinstance(said, str) and said else "The verification did not accept the answer."


async def _run(argv: tuple[str, ...], answer: str, seconds: float | None) -> str:
    given = answer.encode("utf-8", "replace")
    try:
        done = await command(argv, input=given, seconds=seconds or 0.0, most_bytes=_MOST_BYTES)
    except OSError as problem:
        return f"The verification could not be started: {problem}"
    if done.timed_out:
        return f"The verification did not finish within {seconds:g} s."
    if done.code == 0:
        return ""
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    return f"The verification failed with exit code {done.code}:\n{said}"
