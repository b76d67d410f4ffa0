"""Tools: a function, what a model is told of it, and under which conditions it runs.

    Tool.of(look_up)                                     # schema from type hints, texts from the docstring
    Tool.of(send_mail, classification="write", approve=True, timeout=20)
    Tool.of({"name": "add", "description": "…", "parameters": {…}, "function": add})

A tool is frozen; changing one makes another (`dataclasses.replace`).
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from types import MethodType
from typing import Any

import msgspec

from tachograph.agent.tools.signature.check import verify
from tachograph.agent.tools.signature.docstring import read
from tachograph.agent.tools.signature.parameters import hints_of, injected_of, parameters_of
from tachograph.errors import SettingsError, ToolError
from tachograph.limits.loops import Repeat
from tachograph.providers.port import ToolSpec

CLASSIFICATIONS = ("read", "write", "exec", "network", "delegation", "other")
MARK = "__tachograph_tool__"
"""Attribute of a function that records its own calls: (function without that, name, classification)."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _nothing_kept(handle: str) -> str:
    raise ToolError(f"There is no result {handle!r}.")


def _nowhere(name: str, value: Any) -> None:
    raise ToolError(f"There is no run in which {name!r} could be kept.")


def nobody(reason: str) -> None:
    """Nobody can be asked for. Raises ToolError."""
    raise ToolError("There is nobody to hand over to.")


@dataclass(frozen=True)
class ToolContext:
    """What a tool may know of the call; given to each parameter that is annotated with it."""

    run_id: str = ""
    agent: str = ""
    call_id: str = ""
    tool: str = ""
    iteration: int = 0
    deadline: int | None = None
    """On the monotonic clock, in ns; None when there is none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expand: Callable[[str], str] = _nothing_kept
    """The whole text behind a handle. Raises ToolError when it is not kept."""
    scratch: Mapping[str, Any] = field(default_factory=dict)
    """What tools have kept for the run so far, as the call began."""
    keep: Callable[[str, Any], None] = _nowhere
    """Keep a value that JSON can say under a name, for this run and whatever goes on from it; None forgets it."""
    to_person: Callable[[str], None] = nobody
    """Ask, with a reason, that a person takes over; the run ends with this reply. Raises ToolError without one."""


@dataclass(frozen=True, eq=False)
class Tool:
    """A tool. Equal only to itself. Raises SettingsError for what cannot be used."""

    name: str
    """Letters, digits, `_` and `-`, at most 64."""
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object."""
    function: Callable[..., Any]
    """Called with the arguments by name, plain or async; a generator's items are joined."""
    classification: str = "other"
    """read, write, exec, network, delegation, other."""
    idempotent: bool = False
    """Whether running it twice does no more than running it once."""
    timeout: float = 120.0
    """Seconds."""
    repeat: Repeat | None = None
    """How it may repeat itself; None: as the limits say."""
    redact: tuple[str, ...] = ()
    """Arguments whose values are not recorded."""
    most_chars: int = 30_000
    """Most characters of a result that the model is shown; the rest is kept behind a handle."""
    sequential: bool = False
    """Whether no other tool of the same reply may run beside it."""
    approve: bool = False
    """Whether somebody must allow each call."""
    types: Mapping[str, Any] | None = field(default=None, repr=False)
    """Parameter → type that its value is converted to; None: JSON as it is, checked by `parameters`."""
    injected: tuple[str, ...] = field(default=(), repr=False)
    """Parameters that get the `ToolContext`."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        owner = f"tool {self.name}"
        if not _NAME.fullmatch(self.name):
            raise SettingsError("tool name", self.name, "1 to 64 letters, digits, _ or - (pass name=…)")
        if not callable(self.function):
            raise SettingsError(owner, self.function, "a function")
        if self.classification not in CLASSIFICATIONS:
            raise SettingsError(owner, self.classification, f"a classification: {', '.join(CLASSIFICATIONS)}")
        if not 0 < self.timeout < math.inf:
            raise SettingsError(owner, self.timeout, "a timeout of finitely many seconds above 0")
        if self.most_chars < 1:
            raise SettingsError(owner, self.most_chars, "most_chars of at least 1")
        if self.types is None:
            _take_schema(self)
        if unknown := [name for name in self.redact if name not in self.parameters.get("properties", {})]:
            raise SettingsError(owner, unknown, "names of its parameters in redact")

    @property
    def has_effects(self) -> bool:
        """Whether making a call twice may do more than making it once."""
        return not (self.idempotent or self.classification in ("read", "delegation"))

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as a model is told of it."""
        return ToolSpec(self.name, self.description, self.parameters)

    @staticmethod
    def of(thing: Any, **facts: Any) -> Tool:
        """A tool of a function, a bound method, an object with `__call__`, a class of such, a mapping, or a tool.

        `facts` are fields of `Tool` to be used instead. Raises SettingsError.
        """
        known = {item.name for item in fields(Tool)} - {"types", "injected"}
        if "function" in facts and not isinstance(thing, Tool):
            raise SettingsError("tool", facts["function"], "one function: the thing itself is it")
        for name in (*facts, *(thing if isinstance(thing, Mapping) else ())):
            if name not in known:
                raise SettingsError("tool", name, f"no such field; there are {', '.join(sorted(known))}")
        if isinstance(thing, Tool):
            return replace(thing, **facts) if facts else thing
        if isinstance(thing, Mapping):
            return _of_mapping({"description": "", **thing, **facts})
        if "parameters" in facts:
            function = _instance(thing)
            docs = read(_docs(function, plain=_is_plain(function))).summary
            name = _name(function, plain=_is_plain(function))
            return _of_mapping({"name": name, "description": docs, "function": function, **facts})
        return _of_callable(_instance(thing), facts)


def _instance(thing: Any) -> Any:
    if not inspect.isclass(thing):
        return thing
    if not callable(getattr(thing, "__call__", None)) or "__call__" not in dir(thing):  # noqa: B004 - of its instances
        raise SettingsError("tool", thing, "a class whose instances can be called")
    try:
        return thing()
    except TypeError as problem:
        wanted = f"a class that can be made without arguments, or an instance of it ({problem})"
        raise SettingsError("tool", thing, wanted) from problem


def _of_callable(thing: Any, facts: dict[str, Any]) -> Tool:
    if not callable(thing):
        raise SettingsError(
            "tool", thing, "a function, an object that can be called, or a mapping with name and function"
        )
    plain = _is_plain(thing)
    function, marked = _unmarked(thing)
    said = marked | facts
    name = str(said.pop("name", "") or _name(thing, plain=plain))
    docs = _docs(thing, plain=plain)
    found = parameters_of(function, name, ToolContext, docs)
    if not plain:  # its class says what it is for, its `__call__` may say what the parameters are
        docs = type(thing).__doc__ or docs
    own: dict[str, Any] = {"description": read(docs).summary, "parameters": found.schema, "function": function}
    return Tool(name=name, types=found.types, injected=found.injected, **{**own, **said})


def _is_plain(thing: Any) -> bool:
    return inspect.isroutine(thing) or isinstance(thing, partial)


def _name(thing: Any, *, plain: bool) -> str:
    while isinstance(thing, partial):
        thing = thing.func
    stated = getattr(thing, "__name__", None) if plain else getattr(thing, "name", None)
    return stated if isinstance(stated, str) else type(thing).__name__


def _docs(thing: Any, *, plain: bool) -> str | None:
    while isinstance(thing, partial):
        thing = thing.func
    if plain:
        return inspect.getdoc(thing)
    return type(thing).__call__.__doc__ or type(thing).__doc__


def _unmarked(thing: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function without its recording, since an agent records each call itself; and what it is called."""
    if isinstance(thing, partial):
        inner, said = _unmarked(thing.func)
        return partial(inner, *thing.args, **thing.keywords), said
    plain = _is_plain(thing)
    target = thing if plain else type(thing).__call__
    mark = getattr(target, MARK, None)
    # What decorates a recording function from outside carries its attributes; it is not it.
    if mark is None or getattr(target, "__wrapped__", None) is not mark[0]:
        return thing, {}
    function, name, classification = mark
    owner = getattr(thing, "__self__", None) if plain else thing
    bound = function if owner is None else MethodType(function, owner)
    return bound, {"classification": classification} | ({"name": name} if plain else {})


def _of_mapping(stated: dict[str, Any]) -> Tool:
    if missing := [name for name in ("name", "parameters", "function") if name not in stated]:
        raise SettingsError("tool", missing, "a mapping with name, description, parameters and function")
    function, _ = _unmarked(stated["function"])
    return Tool(**{**stated, "function": function})


def _take_schema(tool: Tool) -> None:
    """A schema of the program's own: a copy that nobody else can change, and a function that can be called with it."""
    owner = f"tool {tool.name}"
    try:
        schema = msgspec.json.decode(msgspec.json.encode(tool.parameters))
    except (TypeError, ValueError) as problem:
        raise SettingsError(owner, tool.parameters, f"a JSON schema ({problem})") from problem
    properties = schema.setdefault("properties", {}) if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or schema.setdefault("type", "object") != "object":
        raise SettingsError(owner, tool.parameters, 'a JSON schema of type "object"')
    try:
        verify(schema, schema)
    except (AttributeError, TypeError) as problem:
        raise SettingsError(owner, tool.parameters, f"a JSON schema ({problem})") from problem
    try:
        injected = injected_of(hints_of(tool.function, tool.name), ToolContext)
    except SettingsError:
        injected = ()  # its schema says what it takes; its annotations need not
    required = schema.get("required", [])
    is_open = schema.get("additionalProperties", False) is not False
    if not isinstance(required, list) or not (is_open or set(required) <= set(properties)):
        raise SettingsError(owner, required, "a list of its properties in required")
    object.__setattr__(tool, "parameters", schema)
    object.__setattr__(tool, "injected", injected)
    _check_names(tool, properties)


def _check_names(tool: Tool, properties: Mapping[str, Any]) -> None:
    try:
        inspect.signature(tool.function).bind(**dict.fromkeys((*properties, *tool.injected)))
    except TypeError as problem:
        wanted = f"a function that takes the properties of its schema by name ({problem})"
        raise SettingsError(f"tool {tool.name}", tool.function, wanted) from problem
    except ValueError:
        return  # written in C, and silent about its parameters
