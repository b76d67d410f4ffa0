"""What makes a function a command: the options that all share, errors as one line, an exit code.

A command is written as a function of a `Terminal` and of its own options, and returns its exit code (None is 0). The
decorator puts `--store`, `--json` and `--no-color` in the terminal's place.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tachograph import settings as tachograph_settings
from tachograph.cli import exits
from tachograph.cli.terminal import Terminal
from tachograph.errors import TachographError
from tachograph.settings import Settings

Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where runs are kept: sqlite:PATH, or a path. Default: TACHOGRAPH_STORE, else a file in the data folder.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR.")]


def command(function: Callable[..., int | None]) -> Callable[..., None]:
    """A typer callback from `function(terminal, …options)`."""

    @functools.wraps(function)
    def run(*, store: str, json: bool, no_color: bool, **options: Any) -> None:
        raise typer.Exit(_outcome(function, store, json=json, color=not no_color, options=options))

    signature = inspect.signature(function, eval_str=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in list(signature.parameters.values())[1:]
    ]
    common = [
        inspect.Parameter("store", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Store),
        inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
        inspect.Parameter("no_color", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=NoColor),
    ]
    del run.__wrapped__
    run.__signature__ = signature.replace(parameters=[*own, *common], return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *common)}
    return run


def command_app(**facts: Any) -> typer.Typer:
    """A typer app for the commands of one module, in the style of all: plain help, no completion options of its own."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **facts)


def settings_for(store: str) -> Settings:
    """The environment's settings with this store; a path is a SQLite file. Raises SettingsError."""
    if not store:
        return tachograph_settings.read()
    return tachograph_settings.read(store=store if _is_url(store) else f"sqlite:{Path(store).expanduser()}")


def _is_url(text: str) -> bool:
    scheme, colon, _ = text.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.isalnum()


def _outcome(
    function: Callable[..., int | None], store: str, *, json: bool, color: bool, options: dict[str, Any]
) -> int:
    terminal: Terminal | None = None
    try:
        terminal = Terminal(settings_for(store), json=json, color=color, store_named=bool(store))
        code = function(terminal, **options) or exits.OK
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_the_pipe()
        return exits.PIPE_CLOSED
    except (TachographError, OSError) as problem:
        print(f"tachograph: {_sentence(problem)}", file=sys.stderr)
        return exits.code_for(problem)
    finally:
        if terminal is not None:
            terminal.close()
    return code


def _sentence(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}"
    return str(problem)


def _leave_the_pipe() -> None:
    """Nobody reads stdout any more: let what is still buffered go nowhere, so that leaving Python says nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
