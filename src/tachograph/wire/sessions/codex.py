"""Codex CLI's rollouts (`~/.codex/sessions/…/rollout-*.jsonl`), with the envelope of today or the bare items of old.

One run per user message, all runs of a file in one session. Transcripts hold the items of the Responses API as they
were logged. As in other session logs, a run's transcript begins with its own prompt, and the run names the one it
`continues`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Raw

from tachograph.events.content import Content
from tachograph.events.run import Failure, Status, StepStarted
from tachograph.events.tool import ToolState
from tachograph.wire.lines import (
    NULL,
    Unreadable,
    compose,
    elements,
    embedded,
    encoded,
    members,
    parse,
    present,
    text,
    value,
)
from tachograph.wire.sessions.codex_turns import Item, Line, Logged, Reply, Turn, Turns
from tachograph.wire.sessions.draft import Delegation, Draft, Found, Origin, Problem, Recorded, failure, project_of

FORMAT = "codex"

_ABORTED: Mapping[str, str] = {"interrupted": "user_cancel"}
_SPAWN = "spawn_agent"

_line = msgspec.json.Decoder(Line)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of a rollout; `origin.parents` names, by thread id, the tool calls that started a sub-agent's."""
    log = _Log(origin)
    for number, raw in lines:
        if not raw.strip():
            continue
        try:
            yield from log.feed(number, raw)
        except (Unreadable, msgspec.DecodeError) as fault:
            yield Problem(number, str(fault))
    yield from log.close()


class _Log:
    """One file."""

    def __init__(self, origin: Origin) -> None:
        self.origin, self.turns = origin, Turns()
        self.before: str | None = None
        self.link: Delegation | None = None
        self._links: Iterator[Delegation] | None = None

    def feed(self, number: int, raw: bytes) -> Iterator[Recorded]:
        """The run that this line ends, if it does."""
        for turn in self.turns.feed(number, parse(_line, raw), raw):
            yield self.tell(turn, growing=False)

    def close(self) -> Iterator[Recorded]:
        """The run that is not over when the log ends."""
        turn = self.turns.close()
        if turn is not None:
            yield self.tell(turn, growing=True)

    def tell(self, turn: Turn, *, growing: bool) -> Recorded:
        """A turn as a run."""
        if self._links is None:
            self._links = iter(self.origin.parents.get(self.turns.meta.id or "", ()))
        self.link = next(self._links, self.link)
        record = _Run(self, turn).recorded(growing=growing)
        self.before = record.run
        return record


class _Run:
    """One turn being told."""

    def __init__(self, log: _Log, turn: Turn) -> None:
        self.turn = turn
        meta, origin = log.turns.meta, log.origin
        key = f"{meta.id}:{turn.number}" if meta.id else f"{origin.key or origin.source}#{turn.number}"
        self.draft = draft = Draft(FORMAT, key, turn.at or None, origin, turn.number)
        self.provider = meta.model_provider or "openai"
        name = (log.link.name if log.link else None) or FORMAT
        draft.begin(
            name,
            agent_type=name,
            platform=FORMAT,
            session=meta.id,
            version=meta.cli_version,
            parent_run=log.link.run if log.link else None,
            parent_step=log.link.step if log.link else None,
            tags=project_of(meta.cwd),
            metadata={
                "cwd": meta.cwd,
                "git_branch": value(members(meta.git).get("branch", NULL)),
                "originator": meta.originator,
                "continues": log.before,
                "line": turn.number,
            },
            input=turn.prompt,
        )
        instructions = members(meta.base_instructions).get("text", meta.instructions)
        if text(instructions):
            draft.say(draft.began, "system", compose({"role": b'"system"', "content": instructions}))

    def recorded(self, *, growing: bool) -> Recorded:
        """The whole run."""
        for thing in self.turn.items:
            if isinstance(thing, Reply):
                self._replied(thing)
            elif thing.item.type == "compacted":
                self._compacted(thing)
            elif thing.item.answers:
                self._answered(thing)
            else:
                self.draft.say(thing.at, thing.item.role or "user", thing.raw)
        status, reason, answer = _ending(self.turn, growing)
        error = self.turn.error if status == "failed" else None
        return self.draft.finish(status, reason, growing=growing, output=answer, error=error)

    def _replied(self, reply: Reply) -> None:
        effort = present(reply.effort)
        params = None if effort is None else present(compose({"effort": reply.effort}))
        call = self.draft.call(self.provider, reply.model or "unknown", params=params)
        output = None
        for logged in reply.items:
            output = self.draft.say(logged.at, logged.item.role or "assistant", logged.raw, call)
        self.draft.end_call(call, reply.items[-1].at, output=output, usage=reply.usage, served_model=reply.model)
        for index, logged in enumerate(one for one in reply.items if one.item.asks):
            self._asked(call, index, logged)

    def _asked(self, call: int, index: int, logged: Logged) -> None:
        item = logged.item
        name = f"{item.namespace or ''}{item.name or (item.type or '').removesuffix('_call')}"
        step = self.draft.ask(logged.at, name, item.call_id, _arguments(item), requested_by=call, index=index)
        if item.call_id is None:  # the provider ran it: what came of it is in the reply
            self.draft.answer(step, logged.at, "completed")

    def _answered(self, logged: Logged) -> None:
        item = logged.item
        step = self.draft.pending(item.call_id)
        seq = self.draft.say(logged.at, "tool", logged.raw, step or 0)
        if step is None:
            return
        state, error = _state(item.output)
        self.draft.answer(step, logged.at, state, result=present(item.output), message=seq, error=error)
        if getattr(self.draft.events[step].body, "name", None) == _SPAWN:
            self._spawned(step, item.output)

    def _spawned(self, step: int, output: Raw) -> None:
        said = text(output)
        told = members(output if said is None else said.encode())
        agent = next((name for key in ("agent_id", "thread_id") if (name := text(told.get(key, NULL)))), None)
        if agent is not None:
            self.draft.delegations.append(Delegation(agent, self.draft.run, step, "subagent"))

    def _compacted(self, logged: Logged) -> None:
        step = self.draft.open_step(logged.at, StepStarted(kind="compaction", name="compaction"))
        self.draft.end_step(step, logged.at)
        self.draft.tip = None
        for raw in elements(logged.item.replacement_history) or ():
            self.draft.say(logged.at, text(members(raw).get("role", NULL)) or "assistant", raw)


def _ending(turn: Turn, growing: bool) -> tuple[Status, str, Content | None]:
    """How a turn ended: (status, stop reason, answer)."""
    if turn.aborted is not None:
        return "cancelled", _ABORTED.get(turn.aborted, "superseded"), None
    reply = turn.reply
    if reply is not None and reply.is_answer and (answer := reply.items[-1].item.words).strip():
        return "completed", "final_answer", encoded(answer)
    if turn.error is not None:
        return "failed", "provider_error", None
    if turn.over:
        return "failed", "empty_reply", None
    return ("abandoned", "process_died", None) if growing else ("cancelled", "superseded", None)


def _arguments(item: Item) -> Content | None:
    given = next((raw for raw in (item.arguments, item.input, item.action) if present(raw) is not None), NULL)
    said = text(given)
    return present(given) if said is None else embedded(said)


def _state(output: Raw) -> tuple[ToolState, Failure | None]:
    """The final state of a tool call by its output: a text, parts, or an object that says whether it succeeded."""
    said = text(output)
    if said is None:
        failed = value(members(output).get("success", NULL)) is False
        return ("failed", failure("ToolError", "")) if failed else ("completed", None)
    if said.startswith("aborted"):
        return "cancelled", None
    if said.startswith('{"output"'):
        code = value(members(members(said.encode()).get("metadata", NULL)).get("exit_code", NULL))
        if isinstance(code, int) and code != 0:
            return "failed", failure("ExitCode", f"exit code {code}")
    return "completed", None
