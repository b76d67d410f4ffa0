"""`ExecutionLogger` and `LLMCallLogger`: agent workflows and model calls logged by hand, as rows with columns.

Every method serves plain and async programs under one name: nothing in it waits, and what it returns may be awaited or
not. Behind a row is a run or a step of the one door, so it is durable before the work begins, ends once, links to what
surrounds it, and cannot break or repeat what it logs. How it compares with the interface it takes after stands in
docs/compatibility.md.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Generator, Iterable
from typing import Any, TypeVar, Unpack, overload

from tachograph.events import ids
from tachograph.events.usage import Cost, Usage
from tachograph.instrument.execution_log import ExecutionFacts, ExecutionLog
from tachograph.instrument.llm_call_log import CallFacts, LLMCallLog
from tachograph.instrument.log_row import joined
from tachograph.instrument.streams import handed_on, handed_on_async, is_async
from tachograph.instrument.target import Target
from tachograph.instrument.token_prices import Stated, usual
from tachograph.record import scope
from tachograph.record.clock import SYSTEM, Clock

Chunk = TypeVar("Chunk")


class ExecutionLogger:
    """Logs executions of agents and their steps.

    `db` is nothing (the process's own store), a store URL or path, or a SQLAlchemy engine, connection or session of
    either kind whose database is a SQLite file: only its URL is read, its transaction is never used. Raises
    SettingsError for anything else.
    """

    def __init__(self, db: object = None) -> None:
        self._target = Target(db)
        self._execution_id: str | None = None
        self._open: dict[str, ExecutionLog] = {}

    # ---- execution ids --------------------------------------------------------------------------------------------

    @property
    def execution_id(self) -> str | None:
        """The id that executions get: the one that was set, else that of the execution around the caller.

        None where neither is: then each execution that begins gets an id of its own.
        """
        if self._execution_id is not None:
            return self._execution_id
        here = self._target.safely("log_scope", self._here, None)
        return None if here is None else here.run.execution_id

    @execution_id.setter
    def execution_id(self, execution_id: str | None) -> None:
        self._execution_id = execution_id

    def get_current_execution_id(self) -> str | None:
        """As `execution_id`."""
        return self.execution_id

    def set_execution_id(self, execution_id: str | None) -> None:
        """Give every execution from now on this id, until it is changed; None: each gets its own again."""
        self._execution_id = execution_id

    def generate_execution_id(self) -> str:
        """A new id: `exec_` + 12 hex + `_` + unix seconds. It is not set."""
        made = self._target.safely("log_clock", lambda: _execution_id(self._target.clock()), None)
        return made or _execution_id(SYSTEM)

    def get_current_execution_context(self) -> dict[str, Any] | None:
        """What the innermost open execution of this logger around the caller is; None outside all of them."""
        row = self._target.safely("log_scope", self._current, None)
        names = ("execution_id", "agent_type", "execution_step", "action_type")
        return None if row is None else {name: getattr(row, name) for name in names}

    # ---- executions -----------------------------------------------------------------------------------------------

    def log_execution(
        self,
        agent_type: str,
        execution_step: str,
        action_type: str | None = None,
        input_data: Any = None,
        **facts: Unpack[ExecutionFacts],
    ) -> ExecutionLog:
        """An execution as context manager, for `with` and `async with`; set `output_data` and `metadata` inside it.

        Left normally it is completed; by an exception failed, with its type, message and trimmed traceback; by
        cancellation or an early close cancelled. All of them go on.
        """
        return self._row(agent_type, execution_step, action_type, input_data, facts)

    def start_execution(
        self,
        agent_type: str,
        execution_step: str,
        action_type: str | None = None,
        input_data: Any = None,
        **facts: Unpack[ExecutionFacts],
    ) -> ExecutionLog:
        """Start an execution that `end_execution` ends; what happens until then belongs below it.

        Data of any kind is taken; what JSON cannot say is spelled as near as it can, and bounded. Raises LimitExceeded
        when a guard refuses.
        """
        row = self._row(agent_type, execution_step, action_type, input_data, facts)
        row.begin(sys._getframe(1))  # noqa: SLF001 - whose execution it is; see record.scope
        return row

    def end_execution(
        self,
        execution_log: ExecutionLog,
        status: str = "completed",
        output_data: Any = None,
        error_message: Any = None,
        metadata: Any = None,
    ) -> ExecutionLog:
        """End an execution as completed, failed or cancelled; a second end is ignored. Returns the row.

        An error message that is the text of the exception being handled brings its type and traceback with it. Any
        other status is recorded as failed, and says so.
        """
        if output_data is not None:
            execution_log.output_data = output_data
        execution_log.metadata = joined(execution_log.metadata, metadata)
        execution_log.finish(status, error_message)
        return execution_log

    def log_observation(self, agent_type: str, observation_data: Any, **facts: Unpack[ExecutionFacts]) -> ExecutionLog:
        """Log what an agent observed: a step `observe` that is over at once."""
        row = self._row(agent_type, "observe", "observation", observation_data, facts)
        row.begin(sys._getframe(1))  # noqa: SLF001 - as above
        row.finish("completed")
        return row

    def _row(
        self, agent_type: str, step: str, action_type: str | None, data: Any, facts: ExecutionFacts
    ) -> ExecutionLog:
        facts["execution_id"] = facts.get("execution_id") or self._execution_id
        return ExecutionLog(
            self._target, agent_type, step, open_rows=self._open, action_type=action_type, input_data=data, **facts
        )

    def _here(self) -> scope.Scope | None:
        recorder = self._target.recorder()
        return None if recorder is None else scope.current(recorder)

    def _current(self) -> ExecutionLog | None:
        here = self._here()
        while here is not None:
            row = self._open.get(ids.step_id(here.run.id, here.step)) if here.visible() else None
            if row is not None:
                return row
            here = here.outer
        return None


class LLMCallLogger:
    """Logs model calls: prompt, reply, tokens, cost and timing. `db` as for `ExecutionLogger`."""

    def __init__(self, db: object = None) -> None:
        self._target = Target(db)
        self._stated = Stated()
        self.token_prices = usual()
        """USD per 1,000 tokens by model. An entry that is added or changed prices the calls of exactly that model; the
        others leave pricing to the dated price list, which knows what a model cost on the day."""

    def log_llm_call(
        self,
        provider: str,
        model_id: str,
        call_type: str = "inference",
        prompt: Any = None,
        **facts: Unpack[CallFacts],
    ) -> LLMCallLog:
        """A call as context manager, for `with` and `async with`.

        Inside, set `response`, and `input_tokens` and `output_tokens` or the provider's `usage`; also `chunks_count`
        and `metadata`. It ends as an execution does.
        """
        return self._row(provider, model_id, call_type, prompt, facts)

    def start_llm_call(
        self,
        provider: str,
        model_id: str,
        call_type: str = "inference",
        prompt: Any = None,
        **facts: Unpack[CallFacts],
    ) -> LLMCallLog:
        """Start a call that `end_llm_call` ends. `prompt` is a text or a list of messages as sent.

        Raises LimitExceeded when a guard refuses.
        """
        row = self._row(provider, model_id, call_type, prompt, facts, surrounds=False)
        row.begin(None)
        return row

    def end_llm_call(
        self,
        llm_call_log: LLMCallLog,
        status: str = "completed",
        response: Any = None,
        error_message: Any = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        chunks_count: int | None = None,
        metadata: Any = None,
        usage: Any = None,
    ) -> LLMCallLog:
        """End a call, with a status as for `end_execution`; `usage` is the provider's usage object. Returns the row."""
        said = {
            "response": response, "input_tokens": input_tokens, "output_tokens": output_tokens,
            "chunks_count": chunks_count, "usage": usage,
        }  # fmt: skip
        for name, value in said.items():
            if value is not None:
                setattr(llm_call_log, name, value)
        llm_call_log.metadata = joined(llm_call_log.metadata, metadata)
        llm_call_log.finish(status, error_message)
        return llm_call_log

    def update_token_usage(self, llm_call_log: LLMCallLog, input_tokens: int, output_tokens: int) -> LLMCallLog:
        """Say what a call used, before its end or after it; its cost follows. Returns the row."""
        llm_call_log.usage = None
        llm_call_log.input_tokens, llm_call_log.output_tokens = input_tokens, output_tokens
        self._target.safely("log_meter", llm_call_log.meter, None)
        return llm_call_log

    @overload
    def log_streaming_call(
        self,
        provider: str,
        model_id: str,
        prompt: Any,
        stream_generator: AsyncIterable[Chunk] | Awaitable[AsyncIterable[Chunk]],
        **facts: Unpack[CallFacts],
    ) -> AsyncGenerator[Chunk, None]: ...
    @overload
    def log_streaming_call(
        self,
        provider: str,
        model_id: str,
        prompt: Any,
        stream_generator: Iterable[Chunk],
        **facts: Unpack[CallFacts],
    ) -> Generator[Chunk, None, None]: ...
    def log_streaming_call(
        self, provider: str, model_id: str, prompt: Any, stream_generator: Any, **facts: Unpack[CallFacts]
    ) -> AsyncGenerator[Any, None] | Generator[Any, None, None]:
        """The chunks of a stream, sync or async, as they come; the call is started when the first is asked for.

        Their text is joined, they are counted, and tokens are taken from chunks that carry them. The call ends once: on
        exhaustion, on an error, when it is closed early, or when nobody holds it any more.
        """
        facts["is_streaming"] = True
        row = self._row(provider, model_id, "inference_stream", prompt, facts)
        wrapped = handed_on_async if is_async(stream_generator) else handed_on
        return wrapped(self._target, row, stream_generator)

    def _row(
        self, provider: str, model_id: str, call_type: str, prompt: Any, facts: CallFacts, *, surrounds: bool = True
    ) -> LLMCallLog:
        return LLMCallLog(
            self._target, self._cost, provider, model_id, call_type=call_type, prompt=prompt, surrounds=surrounds,
            **facts,
        )  # fmt: skip

    def _cost(self, model: str, usage: Usage, at_ns: int) -> Cost | None:
        return self._stated.cost(self.token_prices, model, usage, at_ns)


def _execution_id(clock: Clock) -> str:
    now = clock.now()
    return ids.execution_id(now, ids.run_id(now, clock.entropy(6)))
