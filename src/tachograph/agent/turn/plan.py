"""One call of a reply on its way: what is known of it before it runs, and what came of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tachograph.agent.crew.passing import Passed
from tachograph.agent.hooks import FinishAgent, FinishRun
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.arguments import Prepared
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import INTERRUPTED
from tachograph.errors import LimitExceeded
from tachograph.events.chat import Message, Part, ToolUse
from tachograph.events.tool import ToolState
from tachograph.fold.approvals import Approval

FINISHED_BEFORE = "not run: the work was finished before it"
Finished = FinishAgent | FinishRun
"""A hook ended the work: of this agent, or of the whole run."""


class Plan(Struct):
    """One call on its way: what is known of it before it runs, and what came of it."""

    call: ToolUse
    index: int
    prepared: Prepared | None = None
    refusal: str = ""
    """Why it will not run; the text that the model gets."""
    given: Any = None
    """A result in place of running it."""
    has_given: bool = False
    waits: Approval | None = None
    """What a person is asked about it, before it may run."""
    met: bool = False
    """Whether it came to the door."""
    state: ToolState | None = None
    content: str | tuple[Part, ...] = INTERRUPTED
    finished: Finished | None = None
    limit: LimitExceeded | None = None
    edge: Handoff | None = None
    """What it hands over by, when it asks for that."""
    passed: Passed | None = None
    delegated: bool = False
    """Whether a delegate is at work on it."""
    paused: str = ""
    """The run of a delegate that waits for a person about it."""
    called_off: bool = False
    """Whether another call of the reply has ended the whole run meanwhile."""

    def take(self, message: Message, *, completed: bool) -> None:
        """It had ended before the run paused: that is its result."""
        self.met, self.content, self.state = True, message.content or "", "completed" if completed else "failed"

    @property
    def hands_over(self) -> bool:
        """Whether it is a hand-off that nothing stands against."""
        return self.edge is not None and not self.refusal and not self.has_given

    @property
    def has_ended(self) -> bool:
        """Whether it is in its final state."""
        return self.state is not None

    @property
    def tool(self) -> Tool | None:
        """The tool, when there is one of that name and the arguments fit it."""
        return None if self.prepared is None else self.prepared.tool
