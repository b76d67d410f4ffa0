"""Something recorded, for a server to tell of."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tachograph.compose import System
from tachograph.events.usage import Usage
from tachograph.record import scope
from tachograph.record.intent import LLMCall, ToolCall
from tachograph.record.run import run
from tachograph.record.step import step
from tachograph.server.service import Service
from tachograph.settings import Settings


class Recorded(NamedTuple):
    """A run that is over and in the store."""

    id: str
    execution_id: str
    call_id: str


def recorded(
    service: Service,
    *,
    tenant: str = "default",
    session: str | None = None,
    said: str = "hello",
    execution_id: str | None = None,
) -> Recorded:
    """A run with one model call and one tool call, recorded into the service's store as a program would."""
    with TemporaryDirectory() as home:
        system = System(Settings(home=Path(home), store=service.store.url))
        before = scope.use(lambda: system.recorder)
        try:
            with run(
                "answer",
                tenant=tenant,
                session=session,
                agent_type="desk",
                tags=[f"of-{tenant}"],
                execution_id=execution_id,
            ) as made:
                with step(LLMCall("gpt-4o-mini", [{"role": "user", "content": f"hi from {tenant}"}], "openai")) as call:
                    call.reply = {"role": "assistant", "content": said}
                    call.usage = Usage(input_uncached=1_000, output=500, basis="provider")
                with step(ToolCall("look", {"for": tenant})) as tool:
                    tool.output = {"found": said}
                made.output = said
            assert system.worker.flush()
        finally:
            scope.use(before)
            system.close()
    assert made.run_id is not None
    assert made.execution_id is not None
    assert call.id is not None
    return Recorded(made.run_id, made.execution_id, call.id)
