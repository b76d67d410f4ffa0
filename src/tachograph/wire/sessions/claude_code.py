"""Claude Code's session logs (`~/.claude/projects/…/<session>.jsonl`, and `agent-<id>.jsonl` of sub-agents).

One run per turn, all runs of a file in one session. A run's transcript begins with its own prompt: the conversation
before it is not told again (that would grow with the square of the session) but named, as the run it `continues`. One
API message is one call, however many lines it was logged in. Sub-agents are runs of their own below the tool call that
started them: those in the same file are found by their prompt, those in files of their own by the agent's id, which the
result of that call names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw

from tachograph.events.content import Content
from tachograph.events.run import Failure, Status, StepStarted
from tachograph.events.tool import ToolState
from tachograph.events.usage import MISSING
from tachograph.wire import usage as wire_usage
from tachograph.wire.lines import (
    NULL,
    Unreadable,
    compose,
    encoded,
    members,
    parse,
    present,
    text,
    value,
    verbatim,
)
from tachograph.wire.sessions.chat import Block
from tachograph.wire.sessions.claude_turns import Compacted, Failed, Heard, Line, Remark, Reply, Turn, Turns, opening
from tachograph.wire.sessions.draft import (
    Delegation,
    Draft,
    Found,
    Origin,
    Problem,
    Recorded,
    category,
    failure,
    project_of,
)

FORMAT = "claude-code"

_OURS = frozenset({"user", "assistant", "system"})
_TASKS = frozenset({"Task", "Agent"})
_REFUSED = (b'"User rejected tool use"', b"The user doesn't want to proceed with this tool use")
_CUT_OFF = {
    "max_tokens": "output_truncated",
    "model_context_window_exceeded": "output_truncated",
    "refusal": "content_filter",
}

_line = msgspec.json.Decoder(Line)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of a session's log, or of a sub-agent's: `origin.parents` then names the tool calls it worked for."""
    log = _Log(origin)
    for number, raw in lines:
        if not raw.strip():
            continue
        try:
            yield from log.feed(number, parse(_line, raw))
        except (Unreadable, msgspec.DecodeError) as fault:
            kind = text(members(raw).get("type", Raw(b'"user"')))
            if kind in _OURS:
                yield Problem(number, str(fault))
    yield from log.close()


class _Log:
    """One file, or the lines of one sub-agent inside a file."""

    def __init__(self, origin: Origin, agent: str | None = None, link: Delegation | None = None) -> None:
        self.origin, self.agent, self.link = origin, agent, link
        self.links: Iterator[Delegation] = iter(())
        self.turns = Turns()
        self.before: str | None = None
        self.model: str | None = None
        self._settled = agent is not None

    def feed(self, number: int, line: Line) -> Found:
        """The runs that this line ends. Raises DecodeError for a message of no known shape."""
        if not self._settled and line.type in ("user", "assistant"):
            self._settled = True
            if line.is_sidechain and line.agent_id:
                self.agent = line.agent_id
                self.links = iter(self.origin.parents.get(_agent(line, line.agent_id), ()))
        if line.is_sidechain and self.agent is None:
            if self.turns.turn is not None:
                self.turns.turn.side.append((number, line))
            return
        for turn in self.turns.feed(number, line):
            yield from self.tell(turn, growing=False)

    def close(self, *, growing: bool = True) -> Found:
        """The run that is not over when the log ends; `growing` unless no more can come."""
        turn = self.turns.close()
        if turn is not None:
            yield from self.tell(turn, growing=growing)

    def tell(self, turn: Turn, *, growing: bool) -> Found:
        """A turn as a run, then the runs of sub-agents whose lines stood among its own."""
        told = _Run(self, turn)
        record = told.recorded(growing=growing)
        self.before, self.model = record.run, told.model
        yield record
        for chain, lines in _chains(turn.side).items():
            log = _Log(self.origin, chain, told.tasks.get(_prompt_of(lines[0][1])))
            for number, line in lines:
                try:
                    yield from log.feed(number, line)
                except msgspec.DecodeError as fault:
                    yield Problem(number, str(fault))
            yield from log.close(growing=growing)


class _Run:
    """One turn being told."""

    def __init__(self, log: _Log, turn: Turn) -> None:
        self.turn = turn
        self.model = log.model
        self.tasks: dict[str, Delegation] = {}
        """Sub-agents it started, by their prompts."""
        self._kinds: dict[int, str | None] = {}
        self._retried: int | None = None
        self._attempt = 1
        line = turn.line
        key = line.uuid or f"{log.origin.key or log.origin.source}#{turn.number}"
        self.draft = Draft(FORMAT, key, turn.at or None, log.origin, turn.number)
        self._begin(log, line)

    def _begin(self, log: _Log, line: Line) -> None:
        log.link = next(log.links, log.link)
        link, trigger = log.link, self.turn.trigger
        name = FORMAT if log.agent is None else (link and link.name) or "subagent"
        self.draft.begin(
            name,
            agent_type=name,
            platform=FORMAT,
            session=line.session_id,
            version=line.version,
            parent_run=link.run if link else None,
            parent_step=link.step if link else None,
            tags=project_of(line.cwd),
            metadata={
                "cwd": line.cwd,
                "git_branch": line.git_branch,
                "agent_id": log.agent,
                "continues": log.before,
                "line": self.turn.number,
            },
            input=_asked(trigger),
        )

    def recorded(self, *, growing: bool) -> Recorded:
        """The whole run."""
        for item in self.turn.items:
            match item:
                case Reply():
                    self._replied(item)
                case Heard():
                    self._heard(item)
                case Failed():
                    self._failed(item)
                case Compacted():
                    self._compacted(item)
                case Remark():
                    self.draft.note(item.at, item.name, present(item.data))
        status, reason, answer, error = _ending(self.turn, growing)
        return self.draft.finish(status, reason, growing=growing, output=answer, error=error)

    def _replied(self, reply: Reply) -> None:
        said = reply.said
        self.model = said.model or self.model
        message = compose({"role": b'"assistant"', "content": b"[%s]" % b",".join(bytes(p.raw) for p in reply.parts)})
        if reply.repeated:
            self.draft.say(reply.at, "assistant", message)
            self._started(reply, None)
            return
        call = self.draft.call("anthropic", self.model or "unknown", attempt=self._attempt, retry_of=self._retried)
        self._attempt, self._retried = 1, None
        output = self.draft.say(reply.at, "assistant", message, call)
        found = value(said.usage)
        tier = found.get("service_tier") if isinstance(found, dict) else None
        self.draft.end_call(
            call,
            reply.at,
            output=output,
            usage=wire_usage.read(found, "anthropic") if isinstance(found, dict) else MISSING,
            finish_reason=said.stop_reason,
            served_model=said.model,
            served_tier=tier if isinstance(tier, str) else None,
            response_id=said.id,
            request_id=reply.request_id,
        )
        self._started(reply, call)

    def _started(self, reply: Reply, call: int | None) -> None:
        index = 0
        for part in reply.parts:
            block = part.block
            if block.type != "tool_use":
                continue
            name = str(block.name)
            step = self.draft.ask(part.at, name, _id(block.id), present(block.input), requested_by=call, index=index)
            index += 1
            if name in _TASKS:
                self._delegated(step, block)

    def _delegated(self, step: int, block: Block) -> None:
        given = members(block.input)
        kind = text(given.get("subagent_type", NULL))
        self._kinds[step] = kind
        prompt = text(given.get("prompt", NULL))
        if prompt is not None:
            self.tasks[prompt] = Delegation("", self.draft.run, step, kind)
        self._named(step, self.turn.agents.get(str(block.id)))

    def _heard(self, heard: Heard) -> None:
        results = [(block, _id(block.tool_use_id)) for block in heard.blocks if block.type == "tool_result"]
        only = self.draft.pending(results[0][1]) if len(results) == 1 else None
        seq = self.draft.say(heard.at, "user", heard.message, only or 0)
        for block, call_id in results:
            step = self.draft.pending(call_id)
            if step is None:
                continue
            state, error = _state(block, heard.line.tool_use_result)
            self.draft.answer(step, heard.at, state, result=present(block.content), message=seq, error=error)
            if step in self._kinds:
                self._named(step, text(members(heard.line.tool_use_result).get("agentId", NULL)))

    def _named(self, step: int, agent: str | None) -> None:
        """Which agent works on a delegation: progress tells, or its result."""
        if agent is not None and all(known.step != step for known in self.draft.delegations):
            name = _agent(self.turn.line, agent)
            self.draft.delegations.append(Delegation(name, self.draft.run, step, self._kinds[step]))

    def _failed(self, failed: Failed) -> None:
        attempt = failed.attempt or self._attempt
        call = self.draft.call("anthropic", self.model or "unknown", attempt=attempt, retry_of=self._retried)
        error, status = _fault(failed)
        self.draft.end_call(call, failed.at, "failed", error=error, http_status=status)
        self._attempt, self._retried = (1, None) if failed.attempt is None else (attempt + 1, call)

    def _compacted(self, compacted: Compacted) -> None:
        step = self.draft.open_step(compacted.at, StepStarted(kind="compaction", name="compaction"))
        self.draft.end_step(step, compacted.at, metadata=present(compacted.data))
        self.draft.tip = None


def _ending(turn: Turn, growing: bool) -> tuple[Status, str, Content | None, Failure | None]:
    """How a turn ended: (status, stop reason, answer, error)."""
    if turn.interrupted:
        return "cancelled", "user_cancel", None, None
    last = turn.last
    if isinstance(last, Failed) and last.attempt is None:
        return "failed", "provider_error", None, _fault(last)[0]
    if isinstance(last, Reply) and not last.asks:
        answer = _answer(last)
        if (reason := _CUT_OFF.get(last.said.stop_reason or "")) is not None:
            return "failed", reason, answer, None
        if answer is not None:
            return "completed", "final_answer", answer, None
        if last.said.stop_reason == "end_turn":
            return "failed", "empty_reply", None, None
    return ("abandoned", "process_died", None, None) if growing else ("cancelled", "superseded", None, None)


def _answer(reply: Reply) -> Content | None:
    parts = [part.block.text for part in reply.parts if part.block.type == "text"]
    words = [said for part in parts if (said := text(part)) and said.strip()]
    if len(parts) == 1 and words:
        return verbatim(parts[0])
    return encoded("\n".join(words)) if words else None


def _asked(trigger: Heard | None) -> Content | None:
    if trigger is None:
        return None
    if not trigger.blocks:
        return present(trigger.content)
    said = [text(block.text) for block in trigger.blocks if block.type == "text"]
    return encoded("\n".join(part for part in said if part))


def _state(block: Block, result: Raw) -> tuple[ToolState, Failure | None]:
    """The final state of a tool call, and its error."""
    outside = bytes(result)
    if b'"interrupted"' in outside and value(members(result).get("interrupted", NULL)) is True:
        return "cancelled", None
    if block.is_error is not True:
        return "completed", None
    said = bytes(block.content)
    if outside == _REFUSED[0] or _REFUSED[1] in said[:200]:
        return "rejected", None
    return "failed", failure("ToolError", text(block.content) or "")


def _fault(failed: Failed) -> tuple[Failure, int | None]:
    """The error of a request: what a retry noted, or the text that the user was shown."""
    noted = members(failed.error)
    status = value(noted["status"]) if "status" in noted else None
    status = status if isinstance(status, int) and 100 <= status < 600 else None
    shown = opening(failed.error, [])
    if shown is None:
        shown = " ".join(part for part in _texts(failed.error) if part)
    return failure("APIError", shown or f"status {status}", category(status)), status


def _texts(content: Raw) -> Iterator[str]:
    listed = value(content)
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            yield item["text"]


def _chains(side: list[tuple[int, Line]]) -> dict[str, list[tuple[int, Line]]]:
    """Lines of sub-agents by the conversation they belong to: an agent's id, else where their parents lead."""
    roots: dict[str, str] = {}
    chains: dict[str, list[tuple[int, Line]]] = {}
    for number, line in side:
        here = line.uuid or str(number)
        root = line.agent_id or roots.get(line.parent_uuid or "", here)
        roots[here] = root
        chains.setdefault(root, []).append((number, line))
    return chains


def _id(given: object) -> str | None:
    return None if given is None else str(given)


def _prompt_of(line: Line) -> str:
    return text(members(line.message).get("content", NULL)) or ""


def _agent(line: Line, agent: str) -> str:
    """The name of a sub-agent among all sessions."""
    return f"{line.session_id}/{agent}"
