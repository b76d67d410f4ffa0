"""What must hold of every run, whatever the model, the tools, the hooks and the caller do: read from the events alone.

Each law is a function that raises AssertionError. They know nothing of how limits are kept: they add up what was
recorded, in the order in which it was, for a run and everything inside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tachograph import compose
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.reminders import OPENING
from tachograph.agent.state import State
from tachograph.agent.transcript import check
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import Message, read
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.events.run import STOP_REASONS, RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import WAITS, ToolEnded, ToolStarted
from tachograph.events.usage import Usage
from tachograph.fold.cost import price
from tachograph.limits.limit import Limit, Limits
from tachograph.limits.money import nano_of
from tachograph.limits.purse import QUIET
from tachograph.providers.port import Request
from tachograph.record.admit import Admitter
from tachograph.record.sanitize import to_json
from tachograph.record.scrub import Scrubber
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Query, Where

STARTS = (CallStarted, ToolStarted, StepStarted, RunStarted)
ENDS = (CallEnded, ToolEnded, StepEnded, RunEnded)
BOOK = compose.price_book_for(Settings())


class Tree:
    """The runs of some events, with the limits of each."""

    def __init__(self, events: Sequence[Event], limits: Mapping[str, Limits]) -> None:
        """`limits` is by the name of a run."""
        self.above: dict[str, str | None] = {}
        self.limits: dict[str, dict[str, Limit]] = {}
        self.per_call: dict[str, dict[str, Limit]] = {}
        for event in events:
            if isinstance(event.body, RunStarted):
                self.above[event.run] = event.body.parent_run
                each = [one for one in limits[event.body.name].each() if one.mode not in QUIET]
                self.limits[event.run] = {one.metric: one for one in each if one.scope == "run"}
                self.per_call[event.run] = {one.metric: one for one in each if one.scope == "call"}

    def lineage(self, run: str) -> Iterator[str]:
        """A run, the run that it is inside, and so on."""
        here: str | None = run
        while here is not None:
            yield here
            here = self.above[here]


def counts_hold(events: Sequence[Event], tree: Tree) -> None:
    """No counted limit is passed, by a run and all runs inside it together; nor the depth of those that did anything.

    A tool call that the door refused is recorded right behind its refusal, and is none.
    """
    used: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    for event in events:
        match event.body:
            case LimitHit(refused_kind="tool"):
                refused[event.run] += 1
                continue
            case ToolStarted() if refused[event.run]:
                refused[event.run] -= 1
                continue
            case StepStarted(kind="iteration"):
                metric = "max_iterations"
            case CallStarted():
                metric = "max_llm_calls"
            case ToolStarted():
                metric = "max_tool_calls"
            case _:
                continue
        for depth, run in enumerate(tree.lineage(event.run), 1):
            used[run, metric] += 1
            for name, figure in ((metric, used[run, metric]), ("max_depth", depth)):
                limit = tree.limits[run].get(name)
                assert limit is None or figure <= limit.threshold, (name, figure, limit)


def reservations_fit(events: Sequence[Event], tree: Tree, safe: Sequence[bool]) -> None:
    """Each request that leaves has its reservation, and it fits beside what is used and set aside at that moment.

    `safe` says of each request, in order, whether the model said that it certainly cost nothing.
    """
    held: dict[str, dict[tuple[str, int], tuple[int, int]]] = defaultdict(dict)
    spent: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    begun: dict[tuple[str, int], tuple[CallStarted, bool]] = {}
    for event in events:
        body, place = event.body, (event.run, event.step)
        if isinstance(body, CallStarted):
            assert body.reserved is not None
            tokens, nano = body.reserved.input + body.reserved.output, body.reserved.nano or 0
            for run in tree.lineage(event.run):
                there = (sum(one[part] for one in held[run].values()) + spent[run][part] for part in (0, 1))
                _fits(tree.limits[run], *(now + more for now, more in zip(there, (tokens, nano), strict=True)))
                _fits(tree.per_call[run], tokens, nano)
                held[run][place] = tokens, nano
            begun[place] = body, safe[len(begun)]
        elif isinstance(body, CallEnded):
            settled = _settled(*begun[place], body, event.at)
            for run in tree.lineage(event.run):
                del held[run][place]
                spent[run] = spent[run][0] + settled[0], spent[run][1] + settled[1]


def _fits(limits: Mapping[str, Limit], tokens: int, nano: int) -> None:
    if (limit := limits.get("token_budget")) is not None:
        assert tokens <= limit.threshold, (tokens, limit)
    if (limit := limits.get("cost_budget")) is not None:
        assert nano <= nano_of(limit.threshold), (nano, limit)


def _settled(started: CallStarted, safe: bool, ended: CallEnded, at: int) -> tuple[int, int]:
    """The least (tokens, nano-USD) that this call must count as."""
    assert started.reserved is not None
    usage, reserved = ended.usage, started.reserved
    if safe and ended.status == "failed":
        return 0, 0
    if usage.basis == "missing" or any(figure is not None and figure < 0 for figure in _classes(usage)):
        return reserved.input + reserved.output, reserved.nano or 0
    tokens = reserved.input if usage.input_total is None else usage.input_total
    tokens += reserved.output if usage.output is None else usage.output
    cost = price(BOOK, started.provider, ended.served_model or started.model, usage, at)
    return tokens, cost.total or 0


def _classes(usage: Usage) -> tuple[int | None, ...]:
    return usage.input_uncached, usage.cache_read, usage.cache_write, usage.output


def starts_end_once(events: Sequence[Event]) -> None:
    """Each start has exactly one end behind it, in its own run, and nothing of a run follows the run's end."""
    owed: Counter[tuple[str, int]] = Counter()
    over: set[str] = set()
    for event in events:
        if isinstance(event.body, STARTS):
            assert event.run not in over
            owed[event.run, event.seq] += 1
        elif isinstance(event.body, ENDS):
            owed[event.run, event.step] -= 1
            assert owed[event.run, event.step] == 0, event
            if isinstance(event.body, RunEnded):
                over.add(event.run)
    assert not +owed


def starts_end_once_in_each_life(events: Sequence[Event]) -> None:
    """Of one run, which may have gone on after it had ended."""
    lives: list[list[Event]] = [[]]
    for event in events:
        if isinstance(event.body, RunResumed):
            lives.append([])
        lives[-1].append(event)
    ends = [sum(isinstance(event.body, RunEnded) for event in life) for life in lives]
    assert ends == [1] * len(lives)
    owed = Counter(event.seq for event in events if isinstance(event.body, STARTS) and event.step)
    owed.subtract(event.step for event in events if isinstance(event.body, ENDS) and event.step)
    assert not any(owed.values()), owed


def tools_end_once(events: Sequence[Event]) -> None:
    """Where one call of a reply was looked at, each of them was: one start, one end, each place of the reply once.

    A reply that waits for a delegate has calls that were not looked at yet: its hand-off is the last that is made.
    """
    asked: dict[tuple[str, int], int] = {}
    said: dict[tuple[str, int], int] = {}
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for event in events:
        match event.body:
            case MessageAppended(role="assistant", message=content):
                said[event.run, event.seq] = len(msgspec.json.decode(content.text or "{}").get("tool_calls", ()))
            case CallEnded(status="completed", output=int() as node):
                asked[event.run, event.step] = said[event.run, node]
            case ToolStarted(requested_by=int() as by, index=index):
                found[event.run, by].append(index)
    waits = {event.run for event in events if isinstance(event.body, ToolEnded) and event.body.reason == WAITS}
    for place, indices in found.items():
        whole = list(range(asked[place]))
        looked = [index for index in whole if index in indices] if place[0] in waits else whole
        assert sorted(indices) == looked, (indices, asked[place])


def sent_validly(requests: Sequence[Request]) -> None:
    """Every request is a conversation that a provider takes, instructions once and first, reminders last."""
    for request in requests:
        check(request.messages)
        roles = [message.role for message in request.messages]
        assert "system" not in roles[1:]
        check(without_reminders(request.messages))
        assert (request.max_tokens or 0) >= 1
        assert request.timeout > 0


def without_reminders(messages: Sequence[Message]) -> Sequence[Message]:
    """The conversation alone."""
    end = len(messages)
    while end and messages[end - 1].role == "user" and messages[end - 1].text.startswith(OPENING):
        end -= 1
    return messages[:end]


def outcome_is_honest(outcome: Outcome[Any], events: Sequence[Event]) -> None:
    """It says what the record says, its conversation can go on, and success is nothing but what is called so."""
    check(outcome.messages)
    if outcome.run_id is None:  # a limit on runs refused it before it was one
        assert (outcome.status, outcome.spent.llm_calls, outcome.iterations) == ("failed", 0, 0)
        return
    mine = [event for event in events if event.run == outcome.run_id]
    ended = [event.body for event in mine if isinstance(event.body, RunEnded)]
    assert [(body.status, body.stop_reason) for body in ended] == [(outcome.status, outcome.stop_reason)]
    assert outcome.stop_reason in STOP_REASONS[outcome.status]
    assert outcome.stop_reason != "internal_error" or outcome.error is not None
    last = next(event.seq for event in mine if isinstance(event.body, RunEnded))
    # A tool that was left behind in its thread may still say what came of it.
    late = [event.body for event in mine if event.seq > last]
    assert all(isinstance(body, Note) and body.name == "late_result" for body in late), late
    threads = sum(isinstance(event.body, ToolStarted) and event.body.name == "thread" for event in mine)
    assert last <= outcome.last_seq <= last + threads


def hold(outcomes: Iterable[Outcome[Any]], events: Sequence[Event]) -> None:
    """What holds of everything that was recorded, and of each of these outcomes."""
    starts_end_once(events)
    tools_end_once(events)
    store = stored(events)
    for outcome in outcomes:
        outcome_is_honest(outcome, events)
        totals_are_sums(outcome, store)


def stored(events: Sequence[Event]) -> MemoryStore:
    """A store that has taken these events in, priced as the process prices."""
    store = MemoryStore()
    settings = Settings()
    gate = Admitter(Scrubber(), compose.pricer_for(settings))
    store.append(gate.admit(events, scrubbed=True))
    return store


def totals_are_sums(outcome: Outcome[Any], store: MemoryStore) -> None:
    """What the outcome says was spent is what the rows of its attempts and tool calls add up to."""
    if outcome.run_id is None:
        return
    run = store.find(Query("runs", (Where("id", "eq", outcome.run_id),), limit=1)).rows[0]
    mine = (Where("run", "eq", run["pk"]),)
    calls = store.find(Query("calls", mine, limit=None)).rows
    tools = store.find(Query("tool_calls", mine, limit=None)).rows
    spent = outcome.spent
    assert (spent.llm_calls, spent.tool_calls) == (len(calls), len(tools))
    assert (run["llm_calls"], run["tool_calls"]) == (len(calls), len(tools))
    names = {
        "uncached_tokens": "input_uncached", "cache_read_tokens": "cache_read", "cache_write_tokens": "cache_write",
        "output_tokens": "output", "reasoning_tokens": "reasoning",
    }  # fmt: skip
    for column, name in names.items():
        assert (getattr(spent.usage, name) or 0) == sum(row[column] or 0 for row in calls), column
        assert run[column] == sum(row[column] or 0 for row in calls), column
    assert spent.nano_usd == sum(row["cost_nano"] or 0 for row in calls) == run["cost_nano"]
    assert spent.unpriced == sum(row["cost_nano"] is None for row in calls) == run["unpriced"]


def as_recorded(state: State) -> State:
    """A state in recorded form, without what no event holds: the answer as a type, what was in the loop's hands."""
    end = state.end
    if end is not None:
        end = msgspec.structs.replace(end, answer=_kept(end.answer), value=None, detail="")
    messages = tuple(read(_kept(message.plain())) for message in state.messages)
    reply = None if state.reply is None else read(_kept(state.reply.plain()))
    loose = {} if end is None else {"wrap_up": ""}  # whether one more turn was left means nothing behind the end
    return msgspec.structs.replace(
        state, messages=messages, reply=reply, end=end, **loose
    )  # fmt: skip


def _kept(value: Any) -> Any:
    return msgspec.json.decode(to_json(value).text)


def differences(found: State, wanted: State) -> dict[str, tuple[Any, Any]]:
    """Fields in which two states differ."""
    pairs = {name: (getattr(found, name), getattr(wanted, name)) for name in State.__struct_fields__}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
