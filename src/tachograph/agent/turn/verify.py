"""What stands before an answer and before a prompt: verification and guardrails.

Verification is a function or a command that says whether an answer may stand; what cannot be asked does not agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tachograph.agent import loop
from tachograph.agent.answer.output import Misfit, parse
from tachograph.agent.guardrails.watch import Ruling
from tachograph.agent.live import Live
from tachograph.agent.pace.bounded import Overdue, answer_of
from tachograph.agent.spec import Verify
from tachograph.agent.state import End
from tachograph.agent.tools.command import command
from tachograph.events.chat import Message
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


# ---- guardrails -----------------------------------------------------------------------------------------------------


async def let_in(live: Live, message: Message, reminders: Sequence[str]) -> tuple[Message, Ruling | None]:
    """A prompt as the guardrails let it pass, its reminders with it; and the ruling that ended the run, if one did."""
    said = []
    for content in (message.content, *reminders):
        passed = await live.guard("input", content, query=message.text)
        if passed.ended is not None:
            return message, passed.ended
        said.append(passed.content)
    for text in said[1:]:
        live.remind(text)
    same = said[0] is message.content
    return message if same else msgspec.structs.replace(message, content=said[0]), None


def withheld(live: Live, ruling: Ruling) -> loop.Decision:
    """What follows when a guardrail does not let an answer pass."""
    if ruling.outcome == "refused":
        return loop.refusal(live.spec, live.state, f"guardrail {ruling.guardrail}", ruling.text)
    return loop.Finish(End("failed", "guardrail_block", None, None, ruling.text))


async def veiled(live: Live, end: End, answer: str) -> End:
    """The end of a run that failed with words that nobody accepted: guardrails look at those too."""
    passed = await live.guard("output", answer)
    if passed.ended is not None:
        return End(end.status, end.reason, None, None, f"{end.detail}; {passed.ended.text}")
    if passed.content == answer:
        return end
    found = parse(live.spec.output, passed.content)
    value = None if isinstance(found, Misfit) else found.value
    return End(end.status, end.reason, passed.content, value, end.detail)
