"""An errand: a run with a retry, a stall, a refused call, a delegate, and a large text."""

from __future__ import annotations

import msgspec

from tachograph.events import ids
from tachograph.events.call import Timeline
from tachograph.events.content import inline
from tachograph.events.limit import LimitHit
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.store.ports import Batch
from tests.queries.kept import batch
from tests.strategies import Tape

SECOND = 1_000_000_000
BUSY, AGAIN, LOOK, ASK = 3, 5, 9, 12
"""Steps of the run: the failed attempt, the one that repeats it, the refused tool call, the call of the delegate."""
LARGE = msgspec.json.encode({"rows": ["rental"] * 8_000}).decode()
HEADERS = {"retry-after": "2", "x-ratelimit-remaining-requests": "0"}


def errand() -> tuple[Tape, Tape]:
    """The run, and that of its delegate. One second between events."""
    tape = Tape("errand", tick=SECOND)
    tape.begin("desk", agent_type="desk", input=inline('{"say": "hi"}'))
    iteration = tape.step("iteration", kind="iteration", iteration=1)
    asked = tape.say("user", {"role": "user", "content": "hi"})
    busy = tape.call("openai", "gpt-4o", parent=iteration, iteration=1, input=asked)
    tape.reply(
        busy, "failed", http_status=529, error=Failure("Overloaded", "come back", "overloaded", "Traceback: line 7"),
        metadata=inline(msgspec.json.encode({"http": [{"status": 529, "headers": HEADERS}]}).decode()),
    )  # fmt: skip
    again = tape.call("openai", "gpt-4o", parent=iteration, iteration=1, attempt=2, retry_of=busy, input=asked)
    said = tape.say("assistant", {"role": "assistant", "content": "I look."}, asked, step=again)
    tape.reply(
        again, output=said, usage=Usage(100, 0, 0, 20, basis="provider"), cost=Cost("priced", 1_000, 2_000, 3_000),
        finish_reason="tool_calls", first_token_ns=250_000_000, chunks=6, http_status=200,
        timeline=Timeline(deltas_us=(250_000, 20_000, 20_000, 20_000, 700_000, 20_000)),
    )  # fmt: skip
    tape.add(
        LimitHit(
            metric="tool_loop", mode="block", used=2, threshold=2, reason="look was asked for twice",
            refused_kind="tool", refused_name="look", evidence=(again,),
        ),
        iteration,
    )  # fmt: skip
    look = tape.tool("look", '{"for": "bike"}', parent=iteration, iteration=1, requested_by=again, call_id="call_1")
    tape.result(look, '"no"', "rejected", reason="look was asked for twice")
    tape.done(iteration)
    tape.wait(SECOND)
    ask = tape.tool("ask", "{}", classification="delegation")
    assert (busy, again, look, ask) == (BUSY, AGAIN, LOOK, ASK)
    below = Tape("delegate", at=tape.at, tick=SECOND // 10)
    below.begin("figures", parent_run=tape.run, parent_step=ask)
    below.done(below.step("count"))
    below.finish(stop_reason="final_answer")
    tape.result(ask, LARGE)
    tape.finish(stop_reason="final_answer")
    return tape, below


def kept() -> Batch:
    """Both, as a store gets them."""
    return batch(*(tape.events for tape in errand()))


RUN = errand()[0].run


def step_id(step: int) -> str:
    """Id of a step of the run."""
    return ids.step_id(RUN, step)
