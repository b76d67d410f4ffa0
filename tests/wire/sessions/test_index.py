"""Every indexed conversation, field by field: what our events say against what the index counted by other means."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tachograph.events.content import Content
from tachograph.events.message import MessageAppended
from tachograph.events.note import Score
from tests.wire.recordings import Facts, index, runs
from tests.wire.sound import faults

Row = dict[str, Any]
Check = Callable[[Row, Facts], Any]

TAU, TAU2, WHO = "tau-bench", "tau2-bench simulation", "who&when failure log"
SWE, SDK = "swe-agent .traj", "openhands sdk llm log (one LLM call)"
JOINED, HISTORY = "openhands llm_completions (joined)", "openhands output.jsonl (event history + metrics)"
CLAUDE, CODEX = "claude session log (all lines, in order)", "codex session log (all lines, in order)"
GEMINI = "gemini cli session"
FORMATS = (TAU, TAU2, WHO, SWE, JOINED, HISTORY, SDK, CLAUDE, CODEX, GEMINI)

UNCHECKED = {
    "file", "line", "format", "id", "source", "redactions",  # where the row comes from
    "max_identical_call",  # null in most rows; its count is `max_identical`
    "mentions_repetition",  # a search of the labels' words
    "lines", "assistant_lines", "repeated_message_id_lines", "lines_not_json",  # lines of the file, not of the run
    "tokens_if_summed_naively", "tokens_rule",  # how not to count; how to count
}  # fmt: skip
"""Fields that say nothing of a run."""


def _metadata(facts: Facts) -> Row:
    content = facts.starts[0].metadata
    return {} if content is None else content.value()


def _scores(facts: Facts) -> dict[str, Score]:
    return {event.body.name: event.body for event in facts.events if isinstance(event.body, Score)}


def _text(content: Content | None) -> str:
    return "" if content is None or content.text is None else content.text


def _usd(calls: Any) -> float | None:
    said = [end.reported_cost for _, end in calls if end.reported_cost is not None]
    return sum(said) / 1e9 if said else None


def _near(found: float | None, wanted: float | None) -> float | None:
    """What was wanted when it is as good as found: sums of floats differ in the last digits, and nobody's cost is 0."""
    return wanted if wanted is not None and abs((found or 0.0) - wanted) < 1e-6 else found


def _loop(row: Row, facts: Facts) -> str:
    figures = facts.repeats()
    run, most = figures["longest_run_same_call_and_result"], figures["max_identical"]
    cut_short = facts.ends[-1].stop_reason in ("max_iterations", "tool_error") and row["format"] == TAU2
    if run >= (5 if cut_short else 10):
        return "runaway"
    if run >= 3:
        return "ambiguous_short_run"
    if most < 3:
        return "no_repeat"
    return "repeat_with_changing_results" if figures["max_same_call_and_result"] <= 2 else "repeat_spread_out"


def _not_json(facts: Facts) -> int:
    return sum(_text(tool.arguments).startswith('"') for tool, _ in facts.tools)


def _prompt_tokens(facts: Facts) -> int:
    """Input as LiteLLM's `prompt_tokens`, which for Anthropic leaves out what was read from the cache."""
    return sum(
        (end.usage.input_uncached or 0)
        + (end.usage.cache_write or 0)
        + (0 if end.usage.basis == "inferred" else end.usage.cache_read or 0)
        for _, end in facts.calls
    )


def _tau2_tokens(row: Row, facts: Facts) -> Row:
    user = Facts(facts.runs, "user")
    return {
        "agent_input": _prompt_tokens(facts),
        "agent_output": facts.tokens("output"),
        "agent_calls_with_usage": sum(end.usage.output is not None for _, end in facts.calls),
        "user_input": _prompt_tokens(user),
        "user_output": user.tokens("output"),
        "user_calls_with_usage": sum(end.usage.output is not None for _, end in user.calls),
        "cached": facts.tokens("cache_read") + user.tokens("cache_read"),
        "usage_total_mismatch": sum(
            end.usage.basis == "inferred" and bool(end.usage.cache_write) for _, end in facts.calls
        ),
    }


def _tau2_cost(row: Row, facts: Facts) -> Row:
    said, wanted = _metadata(facts), row["cost_usd"]
    return {
        "agent": _near(said.get("agent_cost"), wanted["agent"]),
        "user": _near(said.get("user_cost"), wanted["user"]),
        "agent_reported": _near(_usd(facts.calls), wanted["agent_reported"]),
        "user_reported": _near(_usd(Facts(facts.runs, "user").calls), wanted["user_reported"]),
    }


def _duration(tolerance: float) -> Check:
    def check(row: Row, facts: Facts) -> float:
        found = (facts.events[-1].at - facts.events[0].at) / 1e9
        return row["duration_s"] if abs(found - row["duration_s"]) <= tolerance else found

    return check


def _label(row: Row, facts: Facts) -> Row:
    scores = _scores(facts)
    mistake = scores["mistake"]
    steps = [event.step for event in facts.events if isinstance(event.body, MessageAppended)]
    return {
        "is_correct": bool(scores["correct"].value),
        "mistake_agent": mistake.label,
        "mistake_step": str(steps.index(mistake.target)),
        "mistake_reason": mistake.comment,
    }


def _speakers(facts: Facts) -> list[str]:
    names = []
    for message in facts.messages:
        said = json.loads(_text(message.message))
        names.append(said.get("name") or said["role"])
    return names


def _words(facts: Facts) -> list[str]:
    return [json.loads(_text(message.message))["content"] for message in facts.messages]


def _streak(words: list[str]) -> int:
    longest = here = 0
    for place, word in enumerate(words):
        here = here + 1 if place and words[place - 1] == word else 1
        longest = max(longest, here)
    return longest


def _model(row: Row, facts: Facts) -> Any:
    """The model, where a record (or the name of its file) tells it."""
    told = {start.model for start, _ in facts.calls}
    short = row["model"].rpartition("/")[2]
    return row["model"] if any(name == "unknown" or short in name for name in told) else sorted(told)


def _repeat(key: str) -> Check:
    return lambda row, facts: facts.repeats("longest_run_same_call_and_result" in row)[key]


SHARED: Mapping[str, Check] = {
    **{key: _repeat(key) for key in ("tool_calls", "distinct_calls", "max_identical", "longest_consecutive_identical")},
    **{
        key: _repeat(key)
        for key in ("longest_cycle_2to4", "longest_run_same_call_and_result", "max_same_call_and_result")
    },
    "messages": lambda row, facts: len(facts.messages),
    "loop": _loop,
    "args_not_json": lambda row, facts: _not_json(facts),
    "model": _model,
}
"""Fields that mean the same in every format."""

CHECKS: Mapping[str, Mapping[str, Check]] = {
    TAU: {
        "assistant_messages": lambda row, facts: len(facts.calls),
        "task": lambda row, facts: _metadata(facts)["task"],
        "trial": lambda row, facts: _metadata(facts)["trial"],
        "outcome": lambda row, facts: {"reward": _scores(facts)["reward"].value},
        "user_cost_usd": lambda row, facts: _metadata(facts).get("user_cost"),
    },
    TAU2: {
        "assistant_messages": lambda row, facts: sum(message.role == "assistant" for message in facts.messages),
        "task": lambda row, facts: _metadata(facts)["task"],
        "trial": lambda row, facts: _metadata(facts)["trial"],
        "user_model": lambda row, facts: row["user_model"],
        "repeated_tool_call_ids": lambda row, facts: _repeated_ids(facts),
        "user_tool_calls": lambda row, facts: len(Facts(facts.runs, "user").tools),
        "user_max_identical": lambda row, facts: Facts(facts.runs, "user").repeats()["max_identical"],
        "tool_errors": lambda row, facts: sum(
            end.state == "failed" for _, end in [*facts.tools, *Facts(facts.runs, "user").tools]
        ),
        "tokens": _tau2_tokens,
        "cost_usd": _tau2_cost,
        "duration_s": _duration(0.05),
        "termination": lambda row, facts: _metadata(facts)["termination"],
        "outcome": lambda row, facts: {"reward": _scores(facts)["reward"].value},
    },
    WHO: {
        "model": lambda row, facts: row["model"] if not facts.calls else "there are calls",
        "agents": lambda row, facts: len(set(_speakers(facts))),
        "max_identical_message": lambda row, facts: max(Counter(_words(facts)).values()),
        "longest_consecutive_identical_message": lambda row, facts: _streak(_words(facts)),
        "label": _label,
    },
    SWE: {
        "model": lambda row, facts: row["model"],
        "steps": lambda row, facts: len(facts.calls),
        "model_stats": lambda row, facts: _metadata(facts)["model_stats"],
        "exit_status": lambda row, facts: _metadata(facts)["exit_status"],
    },
    JOINED: {
        "llm_calls": lambda row, facts: len(facts.calls),
        "tokens": lambda row, facts: {
            "input": sum(end.usage.input_total or 0 for _, end in facts.calls),
            "output": facts.tokens("output"),
            "cache_read": facts.tokens("cache_read"),
            "cache_write": facts.tokens("cache_write"),
        },
        "cost_usd": lambda row, facts: _near(_usd(facts.calls), row["cost_usd"]),
        "duration_s": _duration(0.06),
        "outcome": lambda row, facts: row["outcome"],
        "hit_50_iterations": lambda row, facts: len(facts.calls) >= 50,
    },
    HISTORY: {
        "model": lambda row, facts: _metadata(facts)["model"],
        "tokens": lambda row, facts: {
            **row["tokens"],
            "prompt_tokens": sum(end.usage.input_total or 0 for _, end in facts.calls),
            "completion_tokens": facts.tokens("output"),
            "cache_read_tokens": facts.tokens("cache_read"),
            "cache_write_tokens": facts.tokens("cache_write"),
        },
        "cost_usd": lambda row, facts: _usd(facts.calls) or 0.0,
        "outcome": lambda row, facts: {"error": facts.ends[0].error.message if facts.ends[0].error else None},
    },
    SDK: {
        "tokens": lambda row, facts: {
            **row["tokens"],
            "prompt_tokens": facts.calls[0][1].usage.input_total,
            "completion_tokens": facts.calls[0][1].usage.output,
            "prompt_cache_hit_tokens": facts.calls[0][1].usage.cache_read,
            "prompt_cache_miss_tokens": facts.calls[0][1].usage.input_uncached,
        },
        "cost_usd": lambda row, facts: _near(_usd(facts.calls), row["cost_usd"]),
    },
    CLAUDE: {
        "distinct_message_ids": lambda row, facts: len(facts.calls),
        "models": lambda row, facts: (
            row["models"] if {start.model for start, _ in facts.calls} == row["models"].keys() else None
        ),
        "tokens": lambda row, facts: {
            "input_tokens": facts.tokens("input_uncached"),
            "output_tokens": facts.tokens("output"),
            "cache_read_input_tokens": facts.tokens("cache_read"),
            "cache_creation_input_tokens": facts.tokens("cache_write"),
        },
    },
    CODEX: {
        "models": lambda row, facts: {end.served_model: 1 for _, end in facts.calls if end.served_model},
        "tokens": lambda row, facts: {end.usage.output: 1 for _, end in facts.calls if end.usage.basis != "missing"},
    },
    GEMINI: {
        "models": lambda row, facts: dict(Counter(end.served_model for _, end in facts.calls)),
        "tokens": lambda row, facts: {
            "input": facts.tokens("input_uncached") + facts.tokens("cache_read"),
            "output": facts.tokens("output") - facts.tokens("reasoning"),
            "cached": facts.tokens("cache_read"),
            "thoughts": facts.tokens("reasoning"),
            "tool": 0,
            "total": sum(end.usage.total or 0 for _, end in facts.calls),
        },
    },
}
"""Format → field of the index → the same figure from our events."""

DEVIATIONS: Mapping[tuple[str, str], tuple[int, str]] = {
    (JOINED, "messages"): (1, "a reply that was asked for again stands beside the path; the index saw only the path"),
    (SDK, "messages"): (4, "the index counts what was sent; the reply is a message too"),
    (HISTORY, "messages"): (
        2,
        "a recall is a step, not a message (2 events each); an error beside the steps is a note",
    ),
    (HISTORY, "distinct_calls"): (2, "the index compares actions after cutting arguments, we what the model asked for"),
    (HISTORY, "max_identical"): (2, "the same"),
    (HISTORY, "longest_consecutive_identical"): (2, "the same"),
}
"""(format, field) → in how many rows we differ on purpose, and why."""


def _repeated_ids(facts: Facts) -> int:
    counts = Counter(tool.call_id for tool, _ in [*facts.tools, *Facts(facts.runs, "user").tools])
    return sum(count - 1 for count in counts.values())


def _rows(shared_data: Path, name: str) -> Iterator[tuple[Row, Facts]]:
    for row in index(shared_data):
        if row["format"] == name:
            side = "agent" if name in (TAU, TAU2) else None
            yield row, Facts(runs(shared_data / "trajectories" / row["file"], row["line"]), side)


@pytest.mark.parametrize("name", FORMATS)
def test_every_field_of_the_index_agrees_with_our_events(shared_data: Path, name: str) -> None:
    """Each field of each row is found in the events again, but for deviations listed with their number and reason."""
    checks = {**SHARED, **CHECKS[name]}
    differ: Counter[tuple[str, str]] = Counter()
    fields: set[str] = set()
    for row, facts in _rows(shared_data, name):
        fields |= row.keys()
        for field in row.keys() & checks.keys():
            if (found := checks[field](row, facts)) != row[field]:
                differ[name, field] += 1
                assert (name, field) in DEVIATIONS, f"{row['id']}: {field} is {found!r}, the index says {row[field]!r}"
    assert fields - checks.keys() <= UNCHECKED
    assert dict(differ) == {key: count for key, (count, _) in DEVIATIONS.items() if key[0] == name}


@pytest.mark.parametrize("name", FORMATS)
def test_every_recorded_run_is_sound(shared_data: Path, name: str) -> None:
    """Seq without gaps, one end for each start, links that point back, contents that are JSON."""
    found = [(row["id"], faults(run.events)) for row, facts in _rows(shared_data, name) for run in facts.runs]
    assert len(found) >= sum(row["format"] == name for row in index(shared_data))
    assert [item for item in found if item[1]] == []


def test_all_indexed_formats_are_covered(shared_data: Path) -> None:
    """Only the ReAct text logs, which are no format of the import, have no reader: 257 of 787 conversations."""
    counts = Counter(row["format"] for row in index(shared_data))
    assert counts.keys() - set(FORMATS) == {"ReAct text log (Thought/Action/Observation)"}
    assert sum(counts[name] for name in FORMATS) == 530
