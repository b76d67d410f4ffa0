"""Which format is this? By the keys of a record, never by the name of its file. And where agents keep their logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Raw, Struct

from tachograph.wire.lines import NULL, elements, members, mend, text
from tachograph.wire.sessions import (
    claude_code,
    codex,
    gemini_cli,
    messages,
    openhands,
    swe_agent,
    tau,
    who_and_when,
    wrapping,
)
from tachograph.wire.sessions.draft import Found, Origin, Reader


def _wrapped(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    return wrapping.read(lines, origin, _inside)


def _inside(records: Iterable[bytes]) -> Reader | None:
    name = format_of(records)
    return None if name in (None, wrapping.FORMAT) else READERS.get(name or "")


READERS: Mapping[str, Reader] = {
    claude_code.FORMAT: claude_code.read,
    codex.FORMAT: codex.read,
    gemini_cli.FORMAT: gemini_cli.read,
    tau.TAU: tau.read,
    tau.TAU2: tau.read,
    openhands.FORMAT: openhands.read,
    swe_agent.FORMAT: swe_agent.read,
    who_and_when.FORMAT: who_and_when.read,
    messages.FORMAT: messages.read,
    wrapping.FORMAT: _wrapped,
}
"""Format → reader: what `--format` may name."""


class Place(Struct, frozen=True):
    """Where an agent keeps its logs."""

    format: str
    variable: str
    """Environment variable that names another home."""
    homes: tuple[str, ...]
    """Default homes: the user's own, or below it."""
    patterns: tuple[str, ...]
    """Glob patterns below a home."""
    later: str = ""
    """Pattern of the names of sub-agents' logs: read last, for they need the delegations found in the others."""


PLACES: tuple[Place, ...] = (
    Place(
        claude_code.FORMAT,
        "CLAUDE_CONFIG_DIR",
        ("~/.claude", "~/.config/claude"),
        ("projects/**/*.jsonl",),
        later="agent-*.jsonl",
    ),
    Place(
        codex.FORMAT,
        "CODEX_HOME",
        ("~/.codex",),
        ("sessions/**/rollout-*.jsonl", "sessions/**/rollout-*.jsonl.zst", "archived_sessions/rollout-*.jsonl"),
    ),
    Place(
        gemini_cli.FORMAT,
        "GEMINI_CLI_HOME",
        ("~",),
        (
            ".gemini/tmp/*/chats/session-*.json",
            ".gemini/tmp/*/chats/session-*.jsonl",
            ".gemini/tmp/*/chats/*/*.jsonl",
        ),
    ),
)
"""Logs of coding agents on this machine."""

_BY_KEYS: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(keys.split()), name)
    for keys, name in (
        ("id source record", wrapping.FORMAT),
        ("simulations", tau.TAU2),
        ("traj reward", tau.TAU),
        ("messages termination_reason", tau.TAU2),
        ("messages reward_info", tau.TAU2),
        ("history trajectory", swe_agent.FORMAT),
        ("history mistake_agent", who_and_when.FORMAT),
        ("history instance_id", openhands.FORMAT),
        ("llm_calls messages_of_last_call", openhands.FORMAT),
        ("messages response", openhands.FORMAT),
        ("sessionId projectHash", gemini_cli.FORMAT),
        ("$set", gemini_cli.FORMAT),
        ("$rewindTo", gemini_cli.FORMAT),
        ("timestamp type payload", codex.FORMAT),
        ("record_type", codex.FORMAT),
        ("id timestamp instructions", codex.FORMAT),
        ("type uuid sessionId", claude_code.FORMAT),
        ("type sessionId", claude_code.FORMAT),
        ("type leafUuid", claude_code.FORMAT),
        ("type messageId snapshot", claude_code.FORMAT),
        ("messages", messages.FORMAT),
    )
)
"""Keys that only records of a format have together; the first that are all there tell."""


def format_of(records: Iterable[bytes], tries: int = 50) -> str | None:
    """The format of the first record that tells it, among the first `tries`; None when none does."""
    for _, record in zip(range(tries), records, strict=False):
        found = sniff(record)
        if found is not None:
            return found
    return None


def sniff(record: bytes | Raw) -> str | None:
    """The format of one record (a line, or a whole document); None when it could be anything."""
    listed = elements(record)
    if listed is not None:
        return _of_object(members(listed[0])) if listed else None
    keys = members(record)
    if not keys and isinstance(record, bytes) and (mended := mend(record)) is not None:
        keys = members(mended)
    return _of_object(keys)


def _of_object(keys: Mapping[str, Raw]) -> str | None:
    found = next((name for wanted, name in _BY_KEYS if wanted <= keys.keys()), None)
    if found is not None:
        return found
    kind = text(keys.get("type", NULL))
    if kind in ("message", "function_call", "function_call_output", "reasoning", "local_shell_call"):
        return codex.FORMAT
    return messages.FORMAT if "role" in keys and ("content" in keys or "tool_calls" in keys) else None
