"""tau-bench and tau2-bench: a customer played by a model talks to the agent under test.

Both write a list of conversations, each one run. tau2-bench keeps usage, cost and time of every message; its customer
may call tools too. What the customer's model does is recorded as agent type `user`, without an iteration number, so
that the agent's own figures stay its own. Both sides' messages stand in one transcript, as the benchmark kept them:
what either model was really sent is not recorded. The canned greeting is a message, not a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import Content
from tachograph.events.run import Status
from tachograph.events.usage import MISSING, Usage
from tachograph.wire import usage as wire_usage
from tachograph.wire.lines import NULL, Unreadable, compose, elements, members, parse, present, value
from tachograph.wire.money import nano_usd
from tachograph.wire.sessions import chat
from tachograph.wire.sessions.draft import Draft, Found, Origin, Problem, Recorded
from tachograph.wire.times import nanoseconds
from tachograph.wire.vendors import UNKNOWN, served

TAU, TAU2 = "tau-bench", "tau2-bench"
FORMAT = TAU2

ENDINGS: Mapping[str, tuple[Status, str]] = {
    "user_stop": ("completed", "final_answer"),
    "agent_stop": ("completed", "final_answer"),
    "max_steps": ("failed", "max_iterations"),
    "timeout": ("failed", "deadline"),
    "too_many_errors": ("failed", "tool_error"),
    "agent_error": ("failed", "internal_error"),
    "user_error": ("failed", "internal_error"),
    "infrastructure_error": ("failed", "internal_error"),
    "context_window_exceeded": ("failed", "token_budget"),
}
"""`termination_reason` of tau2-bench → how the run ended; one that is not here is an internal error."""

_STOP, _TRANSFER = "###STOP###", "###TRANSFER###"
_HAND_OVER = "transfer_to_human_agents"
_SPOKEN = ("id", "role", "content", "tool_calls", "tool_call_id", "name", "requestor", "error", "reasoning")
"""Members of a message that are the message; the others are the benchmark's bookkeeping."""


class _Simulation(Struct):
    messages: list[Raw] = []
    traj: list[Raw] = []
    id: Any = None
    task_id: Any = None
    trial: Any = None
    seed: Any = None
    start_time: Any = None
    end_time: Any = None
    termination_reason: Any = None
    reward_info: Raw = NULL
    reward: Any = None
    agent_cost: Raw = NULL
    user_cost: Raw = NULL
    info: Raw = NULL


class _Spoken(chat.Message):
    cost: Raw = NULL
    usage: Raw = NULL
    raw_data: Raw = NULL
    timestamp: Any = None
    requestor: Any = None


class _Choice(Struct):
    finish_reason: Any = None


class _Reply(Struct):
    """`raw_data`: what the provider sent, whole, or its first choice, or an Anthropic message."""

    id: Any = None
    model: Any = None
    usage: Raw = NULL
    finish_reason: Any = None
    stop_reason: Any = None
    service_tier: Any = None
    choices: list[_Choice] = []


class _Setup(Struct):
    """Models of both sides, as the file's head names them."""

    agent: str | None = None
    user: str | None = None


_raw = msgspec.json.Decoder(Raw)
_simulation = msgspec.json.Decoder(_Simulation)
_spoken = msgspec.json.Decoder(_Spoken)
_reply = msgspec.json.Decoder(_Reply)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of a results file of either benchmark, or of single simulations."""
    for number, line in lines:
        try:
            record = parse(_raw, line)
        except Unreadable as fault:
            yield Problem(number, str(fault))
            continue
        head = members(record)
        setup = _setup(head, origin)
        listed = elements(head["simulations"]) if "simulations" in head else elements(record)
        for index, raw in enumerate([record] if listed is None else listed):
            try:
                yield _run(msgspec.json.decode(raw, type=_Simulation), setup, f"{number}.{index}", number, origin)
            except msgspec.DecodeError as fault:
                yield Problem(number, f"conversation {index}: {fault}")


def _run(simulation: _Simulation, setup: _Setup, place: str, line: int, origin: Origin) -> Recorded:
    if simulation.traj:
        return _tau(simulation, setup, place, line, origin)
    if not simulation.messages:
        raise msgspec.DecodeError("no messages")
    key = str(simulation.id) if simulation.id is not None else f"{origin.key or origin.source}#{place}"
    spoken = [(_spoken.decode(raw), raw) for raw in simulation.messages]
    times = [simulation.start_time, *(message.timestamp for message, _ in spoken)]
    start = next((at for time in times if (at := nanoseconds(time)) is not None), None)
    draft = Draft(TAU2, key, start, origin, line)
    _begin(draft, TAU2, simulation, [message for message, _ in spoken])
    for index, (message, raw) in enumerate(spoken):
        at = nanoseconds(message.timestamp) or draft.ready
        if _is_call(index, message):
            _spoke(draft, at, message, raw, setup)
        else:
            chat.listen(draft, at, message, _kept(raw))
    status, reason = ENDINGS.get(str(simulation.termination_reason), ("failed", "internal_error"))
    if status == "completed" and _TRANSFER in _last_words(spoken, "user"):
        reason = "human_handoff"
    draft.finish(status, reason, at=nanoseconds(simulation.end_time), output=_answer(spoken))
    return _judged(draft, members(simulation.reward_info), simulation.reward_info)


def _spoke(draft: Draft, at: int, message: _Spoken, raw: Raw, setup: _Setup) -> None:
    """A message that a model wrote: the agent's, or the customer's."""
    ours = message.role == "assistant"
    got = _decoded(message.raw_data)
    named = (got.model if isinstance(got.model, str) else None) or (setup.agent if ours else setup.user)
    provider, model = served(named)
    agent_type = "agent" if ours else "user"
    call = draft.call(provider, model, counted=ours, agent_type=agent_type)
    chat.reply(
        draft,
        call,
        at,
        message,
        _kept(raw),
        agent_type=agent_type,
        counted=ours,
        usage=_usage(got.usage, message.usage),
        reported_cost=nano_usd(message.cost) or None,  # 0 is what LiteLLM says when it has no price
        response_id=got.id if isinstance(got.id, str) else None,
        served_model=got.model if isinstance(got.model, str) else None,
        served_tier=got.service_tier if isinstance(got.service_tier, str) else None,
        finish_reason=_finish_reason(got),
    )


def _is_call(index: int, message: _Spoken) -> bool:
    """Whether a model wrote it: the first message of the agent is canned where it brings no usage and asks nothing."""
    if message.role not in ("assistant", "user"):
        return False
    greeting = index == 0 and message.role == "assistant" and not chat.asked(message)
    return not (greeting and members(message.usage) == {})


def _tau(simulation: _Simulation, setup: _Setup, place: str, line: int, origin: Origin) -> Recorded:
    """A conversation of tau-bench: no times, no usage, and nothing about the customer's calls but their cost."""
    messages = [(_spoken.decode(raw), raw) for raw in simulation.traj]
    draft = Draft(TAU, f"{origin.key or origin.source}#{place}", None, origin, line)
    _begin(draft, TAU, simulation, [message for message, _ in messages])
    provider, model = served(setup.agent)
    for message, raw in messages:
        chat.exchange(draft, draft.began, message, raw, chat.Speaker(provider, model, "agent"))
    draft.finish(*_tau_ending(messages), output=_answer(messages))
    return _judged(draft, {"reward": simulation.reward}, NULL)


def _tau_ending(messages: list[tuple[_Spoken, Raw]]) -> tuple[Status, str]:
    last = messages[-1][0]
    if last.role == "tool" and last.name == _HAND_OVER:
        return "completed", "human_handoff"
    if _STOP in _last_words(messages, "user"):
        return "completed", "final_answer"
    return "failed", "max_iterations"


def _begin(draft: Draft, benchmark: str, simulation: _Simulation, messages: list[_Spoken]) -> None:
    trigger = next((message for message in messages if message.role == "user"), None)
    cost = members(simulation.info).get("user_cost", simulation.user_cost)
    draft.begin(
        benchmark,
        agent_type="agent",
        platform=benchmark,
        input=None if trigger is None else chat.said(trigger),
        metadata={
            "task": simulation.task_id,
            "trial": simulation.trial,
            "seed": simulation.seed,
            "user_cost": value(cost),
            "agent_cost": value(simulation.agent_cost),
            "termination": simulation.termination_reason,
        },
    )


def _judged(draft: Draft, reward: Mapping[str, Any], whole: Raw) -> Recorded:
    """The reward and its parts as scores, all of it as a note."""
    if (points := _number(reward.get("reward"))) is not None:
        draft.score("reward", value=points)
    for name, part in members(reward.get("reward_breakdown", NULL)).items():
        if (points := _number(part)) is not None:
            draft.score(f"reward.{name}", value=points)
    if present(whole) is not None:
        draft.note(draft.latest, "reward_info", present(whole))
    return draft.recorded()


def _kept(raw: Raw) -> bytes:
    return compose({key: part for key, part in members(raw).items() if key in _SPOKEN and present(part) is not None})


def _setup(head: Mapping[str, Raw], origin: Origin) -> _Setup:
    """Models from the file's head; the agent's else from the file's name, which by custom begins with it."""
    info = members(head.get("info", NULL))
    agent, user = (value(members(info.get(side, NULL)).get("llm", NULL)) for side in ("agent_info", "user_info"))
    if not isinstance(agent, str):
        stem = re.sub(r"\.jsonl?(\.gz|\.zst)?$", "", origin.source.replace("\\", "/").rpartition("/")[2])
        name = re.sub(r"-(airline|retail|telecom)$", "", stem.split("_")[0])
        agent = name if served(name).provider != UNKNOWN else None
    return _Setup(agent, user if isinstance(user, str) else None)


def _answer(messages: list[tuple[_Spoken, Raw]]) -> Content | None:
    """The agent's last words."""
    return next((said for m, _ in reversed(messages) if m.role == "assistant" and (said := chat.said(m))), None)


def _last_words(messages: list[tuple[_Spoken, Raw]], role: str) -> str:
    last = next((message for message, _ in reversed(messages) if message.role == role), None)
    return "" if last is None else bytes(last.content).decode()


def _decoded(raw: Raw) -> _Reply:
    try:
        return _reply.decode(raw)
    except msgspec.DecodeError:
        return _Reply()


def _finish_reason(got: _Reply) -> str | None:
    first = got.choices[0].finish_reason if got.choices else None
    reason = got.finish_reason or got.stop_reason or first
    return reason if isinstance(reason, str) else None


def _usage(*raws: Raw) -> Usage:
    return next((wire_usage.read(found) for raw in raws if isinstance(found := value(raw), dict)), MISSING)


def _number(thing: Any) -> float | None:
    found = value(thing) if isinstance(thing, Raw) else thing
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
