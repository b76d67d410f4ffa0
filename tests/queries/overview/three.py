"""Three runs of two agents, thirty hours apart: each a model call, and a tool call that fails."""

from __future__ import annotations

from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.store.ports import Store
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

FIRST = BEGAN - BEGAN % (24 * HOUR)
NOW = FIRST + 100 * HOUR
SECOND = 1_000_000_000


def filled(store: Store, agents: tuple[str, ...] = ("desk", "clerk", "desk")) -> None:
    """Put them into a store: each longer than the one before."""
    for number, agent in enumerate(agents):
        tape = Tape(str(number), at=FIRST + number * 30 * HOUR, tick=SECOND)
        tape.begin(agent_type=agent)
        call = tape.call(model=("gpt-4o", "gpt-5")[number % 2], agent_type=agent)
        usage, cost = Usage(100, 20, 3, 50, 10, basis="provider"), Cost("priced", 4_000, 2_000, 6_000)
        tape.reply(call, usage=usage, cost=cost, first_token_ns=SECOND // 2)
        tape.result(tape.tool("pay", agent_type=agent), state="failed", error=Failure("Refused"))
        tape.wait(number * SECOND).finish(stop_reason="final_answer")
        store.append(batch(tape.events))
