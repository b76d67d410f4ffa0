"""Small logs of our own, as agents would leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

SESSION = "5e551011-0000-4000-8000-000000000001"
Line = dict[str, Any]


def claude_turn(number: int, *, text: str = "", tool: bool = True, session: str = SESSION) -> list[Line]:
    """One turn of a coding agent: a prompt, a tool call and its result, an answer."""
    prompt = {"role": "user", "content": text or f"question {number}"}
    call = {"type": "tool_use", "id": f"toolu_{number}", "name": "Read", "input": {"file_path": f"/tmp/{number}.txt"}}
    result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": f"content of {number}"}
    lines = [_line("user", number, 0, prompt)]
    if tool:
        lines.append(_line("assistant", number, 1, _reply(f"msg_{number}_a", [call], "tool_use")))
        lines.append(_line("user", number, 2, {"role": "user", "content": [result]}))
    lines.append(
        _line("assistant", number, 3, _reply(f"msg_{number}_b", [{"type": "text", "text": f"answer {number}"}]))
    )
    return [{**line, "sessionId": session, "uuid": f"{session}-{line['uuid']}"} for line in lines]


def write(path: Path, lines: list[Line]) -> Path:
    """Write lines of JSON."""
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def conversation(*messages: tuple[str, str], **more: Any) -> Line:
    """A plain list of messages."""
    return {"messages": [{"role": role, "content": text} for role, text in messages], **more}


def _line(kind: str, turn: int, place: int, message: Line) -> Line:
    return {
        "type": kind,
        "uuid": f"{kind}-{turn}-{place}",
        "parentUuid": None if (turn, place) == (0, 0) else f"before-{turn}-{place}",
        "isSidechain": False,
        "userType": "external",
        "cwd": "/srv/bikes",
        "version": "2.0.0",
        "timestamp": f"2026-03-01T10:{turn:02}:{place:02}.000Z",
        "requestId": f"req_{turn}_{place}",
        "message": message,
    }


def _reply(name: str, content: list[Line], stop: str = "end_turn") -> Line:
    usage = {"input_tokens": 100, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 0, "output_tokens": 10}
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": content,
        "stop_reason": stop,
        "usage": usage,
    }
