"""Commands whose options are read without pydantic.

Typer builds a validator of pydantic for every option, and loading that library takes longer than `ls` itself. Texts,
numbers, paths and lists of them are all that our commands take, and need no library to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

_READERS: Mapping[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    bool: bool,
    Path: lambda text: Path(text).expanduser(),
}


class QuickCommand(TyperCommand):
    """A command that reads its own options."""

    def get_params(self, ctx: Any) -> Any:
        """Its options and arguments, `--help` among them."""
        return lightened(super().get_params(ctx))


class QuickGroup(TyperGroup):
    """A group that reads its own options, and those for shell completion."""

    def get_params(self, ctx: Any) -> Any:
        """Its options, `--help` among them."""
        return lightened(super().get_params(ctx))


class Reading:
    """Stands where typer would put its validator: text as an option's type has it."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        self._read = read

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of one option; a list for one that may be given several times. Raises BadParameter."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if isinstance(value, list | tuple):
            return [self._one(item, param, ctx) for item in value]
        return self._one(value, param, ctx)

    def _one(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as problem:
            raise BadParameter(f"{value!r} is not a whole number.", ctx=ctx, param=param) from problem


def lightened(params: list[Any]) -> list[Any]:
    """The same, options of known types with a reader of their own; others keep typer's."""
    for param in params:
        described = getattr(param, "type_descriptor", None)
        read = _READERS.get(_plain(described.annotation)) if described is not None else None
        if read is not None:
            reading = Reading(read)
            param.get_runtime_param = lambda reading=reading: reading
    return params


def _plain(annotation: Any) -> Any:
    """The type of one value: of `list[str] | None`, `str`."""
    args = [arg for arg in get_args(annotation) if arg is not type(None)]
    if get_origin(annotation) is list or len(args) == 1:
        return _plain(args[0])
    return annotation
