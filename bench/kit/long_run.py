"""One run of thousands of steps, as events: a support agent that works through a list all day.

Each iteration is one model call and two or three tool calls, in one conversation that is compacted now and then.
Some calls fail and are tried again, a limit warns from time to time, some replies stream and stall.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted, Timeline
from tachograph.events.content import INLINE_BYTES, Content, digest, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.run import Failure, RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage

MS = 1_000_000
COMPACT_EVERY = 40
SYSTEM = "You keep the books of a bicycle rental. Work through the list, one rental after the other. " * 6
TOOLS = ("find_rental", "read_contract", "post_booking")
QUESTION = "Close all rentals of yesterday, and say which deposits have to go back."
LARGE = 400
"""Every so many tool calls, a result of 40 KB."""


class LongRun:
    """Builds the events; `payloads` are the large texts, by hash."""

    def __init__(self, at: int, steps: int) -> None:
        self.chance = random.Random(steps)
        self.at = self.began = at
        self.id = ids.run_id(at, self.chance.randbytes(6))
        self.events: list[Event] = []
        self.payloads: dict[bytes, bytes] = {}
        self.steps = 0
        self._fill(steps)

    def _fill(self, steps: int) -> None:
        started = RunStarted(
            name="close-the-day", execution_id=ids.execution_id(self.at, self.id), agent_type="bookkeeper",
            session="books", tags=("nightly",), input=inline(json.dumps(QUESTION)), environment="bench",
        )  # fmt: skip
        self._add(started, 0, 0)
        tip, iteration = self._begin(), 0
        while self.steps < steps:
            iteration += 1
            if iteration % COMPACT_EVERY == 0:
                tip = self._compacted(iteration)
            tip = self._iteration(iteration, tip)
        self._add(RunEnded(status="completed", stop_reason="final_answer"), 0, 5)

    def _iteration(self, iteration: int, tip: int) -> int:
        asked = [self.chance.choice(TOOLS) for _ in range(self.chance.choice((2, 2, 3)))]
        call = self._call(iteration, tip)
        if iteration % 97 == 0:
            error = Failure("RateLimitError", "429: slow down, try again in a second", "rate_limit")
            self._add(CallEnded(status="failed", http_status=429, error=error), call, 240)
            call = self._call(iteration, tip, retry_of=call)
        uses = [
            {"id": f"call_{iteration}_{place}", "type": "function",
             "function": {"name": name, "arguments": json.dumps(self._arguments(iteration, place))}}
            for place, name in enumerate(asked)
        ]  # fmt: skip
        said = {"role": "assistant", "content": f"Rental {iteration}: I look it up.", "tool_calls": uses}
        tip = self._message(said, tip, call)
        self._add(self._ended(iteration, tip), call, self.chance.randrange(300, 2_500))
        for place, name in enumerate(asked):
            tip = self._tool(iteration, place, name, call, tip)
        if iteration % 211 == 0:
            hit = LimitHit(
                metric="tool_calls", mode="nudge" if iteration % 2 else "warn", used=iteration * 2.0,
                threshold=iteration * 2.0 - 1, reason="many tool calls", evidence=(call,),
            )  # fmt: skip
            self._add(hit, 0, 0)
        return tip

    def _call(self, iteration: int, tip: int, retry_of: int | None = None) -> int:
        self.steps += 1
        started = CallStarted(
            provider="openai", model="gpt-4o-mini", iteration=iteration, input=tip, streaming=iteration % 3 == 0,
            attempt=2 if retry_of else 1, retry_of=retry_of, agent_type="bookkeeper",
        )  # fmt: skip
        return self._add(started, None, 2)

    def _ended(self, iteration: int, tip: int) -> CallEnded:
        streams = iteration % 3 == 0
        return CallEnded(
            status="completed",
            output=tip,
            usage=Usage(400 + iteration % COMPACT_EVERY * 90, 1_200, 0, 60, basis="provider"),
            cost=Cost("priced", 240_000, 36_000, 276_000, price_id="openai/gpt-4o-mini@bench"),
            finish_reason="tool_calls",
            served_model="gpt-4o-mini-2024-07-18",
            first_token_ns=180 * MS if streams else None,
            chunks=24 if streams else None,
            timeline=Timeline(1, (180_000, *(9_000,) * 12, 140_000, *(9_000,) * 10)) if streams else None,
        )

    def _tool(self, iteration: int, place: int, name: str, call: int, tip: int) -> int:
        self.steps += 1
        arguments = inline(json.dumps(self._arguments(iteration, place)))
        started = ToolStarted(
            name=name, call_id=f"call_{iteration}_{place}", requested_by=call, index=place, iteration=iteration,
            arguments=arguments, classification="read",
        )  # fmt: skip
        step = self._add(started, None, 3)
        result = {"rental": iteration, "state": "returned", "deposit": 40, "lines": self._lines()}
        told = {"role": "tool", "tool_call_id": f"call_{iteration}_{place}", "content": json.dumps(result)}
        tip = self._message(told, tip, 0)
        fails = self.steps % 83 == 0
        ended = ToolEnded(
            state="failed" if fails else "completed", result=None if fails else self._content(json.dumps(result)),
            error=Failure("TimeoutError", "the books did not answer", "timeout") if fails else None,
        )  # fmt: skip
        self._add(ended, step, self.chance.randrange(5, 400))
        return tip

    def _begin(self) -> int:
        tip = self._message({"role": "system", "content": SYSTEM}, None, 0)
        return self._message({"role": "user", "content": QUESTION}, tip, 0)

    def _compacted(self, iteration: int) -> int:
        self.steps += 1
        step = self._add(StepStarted(kind="compaction", name="compact", iteration=iteration), None, 1)
        self._add(StepEnded(status="completed"), step, 30)
        summary = {"role": "user", "content": f"So far: {iteration - 1} rentals are closed."}
        return self._message(summary, self._begin(), 0)

    def _arguments(self, iteration: int, place: int) -> Mapping[str, Any]:
        return {"rental": f"R-{iteration:05d}", "line": place, "with": ["contract", "deposit"]}

    def _lines(self) -> list[str]:
        many = 900 if self.steps % LARGE == 0 else self.chance.randrange(1, 4)
        return [f"line {number}: city bike, two days, no damage" for number in range(many)]

    def _message(self, message: Mapping[str, Any], parent: int | None, step: int) -> int:
        body = MessageAppended(role=message["role"], parent=parent, message=self._kept(json.dumps(message)))
        return self._add(body, step, 0)

    def _content(self, text: str) -> Content:
        return inline(text) if len(text) <= INLINE_BYTES else self._kept(text)

    def _kept(self, text: str) -> Content:
        data = text.encode()
        name = digest(data)
        self.payloads[name] = data
        return Content(hash=name.hex(), size=len(data))

    def _add(self, body: Body, step: int | None, ms: int) -> int:
        self.at += ms * MS
        seq = len(self.events)
        self.events.append(Event(self.id, seq, self.at, self.at - self.began, seq if step is None else step, body))
        return seq
