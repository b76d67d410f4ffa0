"""Small runs to compare: turns in which a model asks for a tool or answers, each with usage and a price."""

from __future__ import annotations

from typing import Any

import msgspec

from tachograph.events.content import inline
from tachograph.events.usage import Cost, Usage
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000
FIND = ("find", '{"id":7}', '"seven"')
PAY = ("pay", '{"euros":29}', '"paid"')
USED, PAID = Usage(100, 20, 0, 10, basis="provider"), Cost("priced", total=1_000)

Turn = tuple[str, str, str] | str
"""A tool with its arguments and its result as JSON text; or the words of an answer."""


def taped(name: str, *turns: Turn, model: str = "gpt-4o", usage: Usage = USED, cost: Cost = PAID, **facts: Any) -> Tape:
    """A run of the clerk that is over, a minute long for each letter of its name later than others."""
    tape = Tape(name, at=BEGAN + sum(name.encode()) * SECOND)
    tape.begin(name, **{"agent_type": "clerk", "session": "s1", **facts})
    seen = tape.say("user", {"role": "user", "content": "Please."})
    for number, turn in enumerate(turns, 1):
        seen = turned(tape, turn, number, seen, model=model, usage=usage, cost=cost)
    last = turns[-1] if turns else ""
    tape.finish(output=inline(msgspec.json.encode(last).decode()) if isinstance(last, str) else None)
    return tape


def turned(tape: Tape, turn: Turn, number: int, seen: int, **told: Any) -> int:
    """One turn more; the message that comes last."""
    call = tape.call("openai", told.pop("model"), input=seen, iteration=number)
    if isinstance(turn, str):
        said = tape.say("assistant", {"role": "assistant", "content": turn}, seen, step=call)
        tape.reply(call, output=said, **told, finish_reason="stop")
        return said
    tool, arguments, result = turn
    # No two calls have the same id, and no id says anything.
    asked = {"id": f"{tape.run}-{number}", "type": "function", "function": {"name": tool, "arguments": arguments}}
    said = tape.say("assistant", {"role": "assistant", "content": None, "tool_calls": [asked]}, seen, step=call)
    tape.reply(call, output=said, **told, finish_reason="tool_calls")
    step = tape.tool(tool, arguments, requested_by=call, iteration=number)
    tape.result(step, result)
    return said


def kept(store: Any, *tapes: Tape) -> tuple[str, ...]:
    """Put runs into a store; their ids."""
    store.append(batch(*(tape.events for tape in tapes)))
    return tuple(tape.run for tape in tapes)
