"""`tachograph chat`: a conversation with an agent of the user's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping

from rich.text import Text

from tachograph import compose
from tachograph.agent.answer.outcome import Spending
from tachograph.agent.chat import Chat
from tachograph.agent.spec import limits_of
from tachograph.cli import human
from tachograph.cli.command import command, command_app
from tachograph.cli.commands.agents.run import AgentFile, LimitsText, Session
from tachograph.cli.quick import QuickCommand
from tachograph.cli.talk.agent_file import load
from tachograph.cli.talk.turn import Teller, turn
from tachograph.cli.terminal import Terminal
from tachograph.limits.text import spell
from tachograph.queries import wording

app = command_app()


@app.command(cls=QuickCommand)
@command
def chat(terminal: Terminal, agent: AgentFile, *, limits: LimitsText = None, session: Session = None) -> None:
    """Talk with an agent: one line a message, until Ctrl-D. Ctrl-C calls off the turn, and the conversation goes on.

    /tools, /cost, /limits, /history, /undo and /clear show or change the conversation; /help lists them. Limits hold
    for each turn. With --json: one outcome a line. The file is Python and is run: name only files you trust.
    """
    if terminal.store_named:
        compose.configure(store=terminal.settings.store_url)
    found = load(agent)
    talk = _Talk(terminal, Chat(found, session=session or _session(terminal), platform="cli"), limits)
    with asyncio.Runner() as runner:
        try:
            while (line := talk.hear()) is not None:
                if line.startswith("/"):
                    talk.command(line)
                elif line:
                    runner.run(talk.say(line))
        finally:
            runner.run(found.close())
    compose.flush()


class _Talk:
    """The conversation, and what was spent in it."""

    def __init__(self, terminal: Terminal, chat: Chat, limits: str | None) -> None:
        self._terminal, self._chat, self._limits = terminal, chat, limits
        self._spent: list[Spending] = []
        self._commands: Mapping[str, tuple[str, Callable[[], str]]] = {
            "/tools": ("the tools it may use", self._tools),
            "/cost": ("tokens and money so far", self._cost),
            "/limits": ("what bounds each turn", self._bounds),
            "/history": ("what was said", self._history),
            "/undo": ("take the last exchange back", self._undo),
            "/clear": ("begin anew", self._clear),
            "/help": ("this list", self._help),
        }

    def hear(self) -> str | None:
        """The next line of the person; None when there is none."""
        try:
            return input("> " if self._terminal.interactive else "").strip()
        except EOFError:
            return None

    async def say(self, line: str) -> None:
        """One turn."""
        teller = Teller(self._terminal)
        outcome = await turn(lambda: self._chat.start(line, limits=self._limits), teller)
        teller.conclude(outcome)
        self._spent.append(outcome.spent)

    def command(self, line: str) -> None:
        """Do what a line that begins with a slash says."""
        known = self._commands.get(line.split(maxsplit=1)[0])
        said = self._help() if known is None else known[1]()
        if known is None:
            said = f"There is no {line.split(maxsplit=1)[0]}.\n{said}"
        if self._terminal.json:
            self._terminal.give({"command": line, "answer": said})
        else:
            self._terminal.out.print(Text(said, "dim"))
        sys.stdout.flush()

    def _tools(self) -> str:
        tools = self._chat.tools.values()
        return "\n".join(f"{tool.name}: {human.line(tool.description, 100)}" for tool in tools) or "It has no tools."

    def _cost(self) -> str:
        spent = self._spent
        usage = [one.usage for one in spent]
        sent, said = sum(one.input_total or 0 for one in usage), sum(one.output or 0 for one in usage)
        unpriced = sum(one.unpriced for one in spent)
        calls = wording.some(sum(one.llm_calls for one in spent), "call")
        full = self._chat.usage
        window = f" · {full.context_usage_percentage:g} % of the context window" if full.context_limit else ""
        money = wording.money(sum(one.nano_usd for one in spent), unpriced)
        return f"{calls} · {wording.short(sent)} → {wording.short(said)} tokens · {money}{window}"

    def _bounds(self) -> str:
        return spell(limits_of(self._limits or self._chat.agent.limits), whole=True)

    def _history(self) -> str:
        lines = []
        for message in self._chat.messages:
            asks = ", ".join(call.name for call in message.tool_calls)
            lines.append(f"{message.role:<9} {human.line(message.text, 200)}{f' [{asks}]' if asks else ''}")
        return "\n".join(lines) or "Nothing was said yet."

    def _undo(self) -> str:
        return "The last exchange is taken back." if self._chat.undo() else "There is nothing to take back."

    def _clear(self) -> str:
        self._chat.clear_conversation()
        return "The conversation begins anew."

    def _help(self) -> str:
        return "\n".join(f"{name:<9} {what}" for name, (what, _) in self._commands.items())


def _session(terminal: Terminal) -> str:
    return f"chat-{terminal.clock.entropy(6).hex()}"
