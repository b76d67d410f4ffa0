r"""A guardrail: where it looks, what it looks for, and what it does when that is there. A value; nothing here runs.

    Guardrail(name="no prices", on="output", rules=(Rule("price", (r"r\$ *\d",)),), does=Refuse("Quote no prices."))

It triggers when all its gates are open (`tools`, `agents`, `unless_called`, `when`) and one of its rules finds
something, or its `check` says what is wrong; without rules and check, whenever its gates are open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from tachograph.agent.guardrails.content import BETWEEN, field_of, texts
from tachograph.agent.guardrails.rule import Rule
from tachograph.errors import SettingsError
from tachograph.events.chat import Message

On = Literal["input", "output", "tool"]
Of = Literal["arguments", "result", "both"]
Mode = Literal["enforce", "observe"]
OnError = Literal["block", "allow"]


class Look(Struct, frozen=True):
    """What a guardrail is shown."""

    on: On
    content: Any
    """A prompt (text, or texts and media), an answer's text, a tool's arguments by name, or its result."""
    stage: str = ""
    """Of a tool call: arguments, before it is made, or result, before the model gets it."""
    agent: str = ""
    tool: str = ""
    query: str = ""
    """What the person said last."""
    called: tuple[str, ...] = ()
    """Tools that were asked for since then."""
    messages: tuple[Message, ...] = ()
    """The conversation as it stands."""
    metadata: Mapping[str, Any] = {}
    """The run's `context`."""
    run_id: str = ""

    @property
    def text(self) -> str:
        """All texts of the content, one a line."""
        return BETWEEN.join(texts(self.content))

    def with_(self, content: Any) -> Look:
        """The same with another content."""
        return self if content is self.content else msgspec.structs.replace(self, content=content)


def part_of(look: Look, field: str) -> Look:
    """The look at one field of a structured answer; the same where there is no such field."""
    said = field_of(look.content, field) if field and isinstance(look.content, str) else None
    return look if said is None else look.with_(said)


class Replacement(Struct, frozen=True):
    """What stands in place of a content, and why, where a function knows more than its guardrail."""

    content: Any
    reason: str = ""
    error: str = ""
    """What went wrong on the way; it is recorded, and the replacement stands."""


class Block(Struct, frozen=True):
    """It does not happen: a prompt or an answer ends the run, a call is not made, a result is kept from the model."""

    text: str = ""
    """Why, for whoever asked; `{reason}` in it is the rule's."""


class Refuse(Struct, frozen=True):
    """The model is asked again, with this text, as often as `gate_refusals` allows; then the run ends."""

    text: str = ""


class Replace(Struct, frozen=True):
    """Something else stands in its place: a text (media stay), or what a function of the `Look` returns.

    The function, async or not, returns a content, a `Replacement`, or None to leave things as they are.
    """

    by: str | Callable[[Look], Any]


class Append(Struct, frozen=True):
    """A text stands behind it; behind a prompt at the tail of the next request alone."""

    text: str


class Redact(Struct, frozen=True):
    """What the rules find gives way to `[redacted:<rule>]`."""


BLOCK = Block()
Action = Block | Refuse | Replace | Append | Redact
ACTIONS: tuple[type[Any], ...] = get_args(Action)
Check = Callable[[Look], Any]
"""Says what is wrong as a text, or None; it may be async."""


@dataclass(frozen=True, kw_only=True)
class Guardrail:
    """One guardrail. Raises SettingsError for what means nothing."""

    name: str
    """What it is called in the record."""
    on: On
    """input, output, or tool."""
    rules: Sequence[Rule] = ()
    """One of them is enough."""
    check: Check | None = None
    """Asked when no rule found anything."""
    does: Action = BLOCK
    """Block, Refuse, Replace, Append or Redact."""
    mode: Mode = "enforce"
    """`observe`: it is recorded what it would have done, and nothing else happens."""
    of: Of = "both"
    """Of a tool call, which part it looks at."""
    field: str = ""
    """Of an answer that is a JSON object, the field that it looks at and changes; without such a field: the whole."""
    tools: str | None = None
    """A regular expression, searched for in the tool's name."""
    agents: Sequence[str] = ()
    """The agents whose work it looks at; none: all."""
    unless_called: Sequence[str] = ()
    """Endings of tools' names: asked for since the person spoke, it does not look."""
    when: Callable[[Look], bool] | None = None
    """Asked on the event loop; False: it does not look."""
    on_error: OnError | None = None
    """What an error of a function of its own does. None: block, but for an answer allow."""
    seconds: float = 10.0
    """The time that each function has."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        for name, words in _WORDS.items():
            value = getattr(self, name)
            if value not in words:
                raise SettingsError(self._of(name), value, f"one of {', '.join(map(str, words))}")
        if not self.name:
            raise SettingsError("guardrail", self.name, "a name")
        if not self.seconds > 0:
            raise SettingsError(self._of("seconds"), self.seconds, "more than 0")
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise SettingsError(self._of("rules"), rule, "Rules")
        if self.on != "tool" and (self.tools is not None or self.of != "both"):
            raise SettingsError(self._of("tools"), self.tools or self.of, "left out, since it looks at no tool")
        if self.field and self.on != "output":
            raise SettingsError(self._of("field"), self.field, "left out, since only an answer has fields")
        self._fits()
        _ = self._tools

    def _fits(self) -> None:
        does, arguments = self.does, self.on == "tool" and self.of != "result"
        if not isinstance(does, ACTIONS):
            raise SettingsError(self._of("does"), does, "Block, Refuse, Replace, Append or Redact")
        if isinstance(does, Refuse) and self.on != "output":
            raise SettingsError(self._of("does"), does, "Block, since only an answer can be asked for again")
        worded = isinstance(does, Append) or (isinstance(does, Replace) and isinstance(does.by, str))
        if isinstance(does, Replace) and isinstance(does.by, str) and not does.by.strip():
            raise SettingsError(self._of("does"), does, "a text that says something, or Block")
        if arguments and worded:
            raise SettingsError(self._of("does"), does, 'something for arguments, or of="result": they are no text')
        if isinstance(does, Redact) and (not self.rules or self.check is not None):
            raise SettingsError(self._of("does"), does, "rules alone, which say what is taken out")

    def _of(self, field: str) -> str:
        return f"guardrail {self.name}: {field}"

    @cached_property
    def _tools(self) -> re.Pattern[str] | None:
        try:
            return None if self.tools is None else re.compile(self.tools)
        except re.error as problem:
            raise SettingsError(self._of("tools"), self.tools, f"a regular expression: {problem}") from problem

    def concerns(self, look: Look) -> bool:
        """Whether this is a place for it, and its gates are open, but for `when`."""
        if look.on != self.on or self.of not in ("both", look.stage or "both"):
            return False
        if self._tools is not None and self._tools.search(look.tool) is None:
            return False
        if self.agents and look.agent and look.agent not in self.agents:
            return False
        return not any(name.endswith(tuple(self.unless_called)) for name in look.called)

    @property
    def blocks_errors(self) -> bool:
        """Whether what it could not look at does not pass.

        A prompt or a call that nobody looked at must not begin anything. An answer is what the work was done for: where
        it would do harm unseen, say `on_error="block"`.
        """
        return self.on != "output" if self.on_error is None else self.on_error == "block"


_WORDS: Mapping[str, tuple[Any, ...]] = {
    "on": get_args(On), "of": get_args(Of), "mode": get_args(Mode), "on_error": (None, *get_args(OnError)),
}  # fmt: skip
"""Field → the words that it may be."""
