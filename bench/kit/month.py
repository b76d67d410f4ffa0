"""A month of runs, ten at a time, with frequent values and values that only a handful of rows have.

The same month can be spoken: then every run is a conversation with a question and an answer that no other run has.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.message import MessageAppended
from tachograph.events.run import Failure, RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.store.ports import Batch
from tachograph.store.rollup import HOUR
from tachograph.store.sqlite.store import SqliteStore

CALLS_A_RUN, TOOLS_A_RUN, STEPS_A_RUN = 10, 6, 3
DAYS, DAY = 30, 24 * HOUR
BATCH = 200

Shares = Mapping[str, float]
RARE = 1e-5
AGENTS: Shares = {f"agent-{number}": 1 / number for number in range(1, 13)} | {"auditor": 1e-4}
MODELS: Shares = {f"{maker}/{maker}-{size}": share for maker in ("openai", "anthropic", "google")
                  for size, share in (("s", 0.5), ("m", 0.3), ("l", 0.2))} | {"local/local-tiny": RARE}  # fmt: skip
PLATFORMS: Shares = {"slack": 0.5, "web": 0.4, "teams": 0.1, "kiosk": 2e-4}
TENANTS: Shares = {"default": 0.8, "acme": 0.2}
ACTIONS: Shares = {"answer_question": 0.6, "create_widget": 0.4, "delete_report": RARE}
TOOLS: Shares = {"search": 0.5, "read_file": 0.3, "write_file": 0.2, "refund": RARE}
STEPS: Shares = {"plan": 0.5, "execute": 0.3, "observe": 0.2, "replan": RARE}
STATUSES: Shares = {"completed": 0.95, "failed": 0.04, "cancelled": 0.01, "abandoned": RARE}
METADATA = '{"channel":"support","queue":"returns","attempt":1,"trace":"%016x","build":"2026.11.21-4"}'


class Recorder:
    """Events of one run, each `gap` after the one before it; `payloads` are its messages, by hash."""

    def __init__(self, chance: random.Random, at: int, gap: int, *, spoken: bool = False) -> None:
        self.chance, self.began, self.at, self.gap, self.spoken = chance, at, at, gap, spoken
        self.run = ids.run_id(at, chance.randbytes(6))
        self.events: list[Event] = []
        self.payloads: dict[bytes, bytes] = {}
        self.tip: int | None = None

    def add(self, body: Body, step: int | None = None) -> int:
        """Append an event; an event without a step begins one."""
        seq = len(self.events)
        self.events.append(Event(self.run, seq, self.at, self.at - self.began, seq if step is None else step, body))
        self.at += self.chance.randrange(self.gap)
        return seq

    def say(self, role: str, text: str, step: int = 0) -> int | None:
        """Append a message where runs are spoken; the tip of the conversation."""
        if self.spoken:
            data = json.dumps({"role": role, "content": text}).encode()
            name = digest(data)
            self.payloads[name] = data
            message = Content(hash=name.hex(), size=len(data))
            seq = len(self.events)
            body = MessageAppended(role=role, parent=self.tip, message=message)
            self.events.append(Event(self.run, seq, self.at, self.at - self.began, step, body))
            self.tip = seq
        return self.tip

    def one(self, of: Shares) -> str:
        """One of these, by their shares."""
        return self.chance.choices(list(of), list(of.values()))[0]


def recorded(chance: random.Random, number: int, first: int, gap: int, *, spoken: bool = False) -> Recorder:
    """One run: ten model calls, six tool calls, three steps of the program's own."""
    run = Recorder(chance, first + number * gap * 2, gap, spoken=spoken)
    name = f"report-{number % 3_000}" if number % 3 == 0 else "report-big" if number % 20 == 1 else None
    refs = {"report_id": name} if name else None
    data = inline(METADATA % number)
    started = RunStarted(
        name="answer", execution_id=ids.execution_id(run.at, run.run), agent_type=run.one(AGENTS), input=data,
        tenant=run.one(TENANTS), platform=run.one(PLATFORMS), session=f"session-{number % 20_000}",
        user=f"user-{number % 5_000}", tags=(f"project:{number % 5}", *(("vip",) * (number % 20_000 == 7))),
    )  # fmt: skip
    run.add(started)
    run.say("system", f"You are {started.agent_type}. Answer questions about parcels, in few words. " * 8)
    run.say("user", f"Where is parcel {number}? It was sent {number % 28 + 1} days ago and the shop does not answer.")
    for place in range(CALLS_A_RUN):
        _called(run, place, number, data, refs)
    run.add(RunEnded(status=run.one(STATUSES)), 0)  # type: ignore[arg-type]
    return run


def _called(run: Recorder, place: int, number: int, data: Content, refs: Mapping[str, str] | None) -> None:
    parent = 0
    if place < STEPS_A_RUN:
        body = StepStarted(kind="custom", name=run.one(STEPS), action_type=run.one(ACTIONS), input=data, refs=refs)
        parent = run.add(body)
    maker, _, model = run.one(MODELS).partition("/")
    streaming = run.chance.random() < 0.3
    asked = run.tip
    call = run.add(CallStarted(provider=maker, model=model, parent=parent, streaming=streaming, refs=refs, input=asked))
    status: Any = run.one(STATUSES)
    last = place == CALLS_A_RUN - 1
    said = f"Parcel {number} is in depot {number % 61}." if last else f"I ask depot {number % 61}, attempt {place}."
    run.add(_ended(status, run.say("assistant", said, call)), call)
    if place < TOOLS_A_RUN:
        tool = run.add(ToolStarted(name=run.one(TOOLS), parent=parent, arguments=data, refs=refs))
        run.add(ToolEnded(state=run.one(STATUSES), result=data), tool)  # type: ignore[arg-type]
    if parent:
        run.add(StepEnded(status=run.one(STATUSES), output=data), parent)  # type: ignore[arg-type]


def _ended(status: Any, output: int | None) -> CallEnded:
    return CallEnded(
        status=status,
        usage=Usage(500, 100, 0, 120, basis="provider"),
        cost=Cost("priced", input=600, output=400, total=1_000),
        first_token_ns=500_000_000,
        error=Failure("RateLimit") if status == "failed" else None,
        output=output,
    )


def fill(store: SqliteStore, calls: int, until: int, *, spoken: bool = False) -> None:
    """A month of runs up to that moment."""
    chance = random.Random(1)
    runs = calls // CALLS_A_RUN
    gap = DAYS * DAY // runs // 2
    for start in range(0, runs, BATCH):
        batch = [
            recorded(chance, number, until - DAYS * DAY, gap, spoken=spoken)
            for number in range(start, min(start + BATCH, runs))
        ]
        payloads = {name: data for run in batch for name, data in run.payloads.items()}
        store.append(Batch([event for run in batch for event in run.events], payloads))
