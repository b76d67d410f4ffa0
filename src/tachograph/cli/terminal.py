"""What every command talks through: its settings, the store behind them, and the way out to a person or a pipe.

Colours and widths are those of a terminal only when it is one; a pipe gets plain text whose lines are not cut. With
`--json` nothing but JSON goes to stdout. What is said about the work (progress, warnings, errors) goes to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tachograph.errors import StoreUnavailable
from tachograph.record.clock import SYSTEM, Clock
from tachograph.settings import Settings
from tachograph.store.open import is_remote, open_store, sqlite_path
from tachograph.store.ports import Store

PIPE_WIDTH = 250
"""Columns when there is no terminal: wide enough for every table, so that nothing is cut or wrapped."""

_to_json = msgspec.json.Encoder(enc_hook=str)


class Screen(Console):
    """A console that lets a closed pipe be told apart from other failures."""

    def on_broken_pipe(self) -> None:
        """The reader went away: the command ends as for any other program."""
        raise BrokenPipeError


class Terminal:
    """One command's surroundings. Closed by `command`, which made it."""

    def __init__(
        self,
        settings: Settings,
        *,
        json: bool = False,
        color: bool = True,
        store_named: bool = False,
        clock: Clock = SYSTEM,
    ) -> None:
        """`store_named` says that the store was named on the command line."""
        self.settings, self.json, self.clock = settings, json, clock
        self.store_named = store_named
        self.out = screen(color, stderr=False)
        self.err = screen(color, stderr=True)
        self._opened: Store | None = None

    @cached_property
    def store(self) -> Store:
        """The store, with what journals still held moved into it first. Raises SettingsError, StoreError."""
        path = self._file
        waiting = path is not None and _holds_folders(path.with_name(f"{path.name}.journals"))
        if path is not None and not path.exists() and not waiting:
            raise StoreUnavailable(self.settings.store_url, "nothing is recorded there yet (try import, or demo)")
        if waiting:
            from tachograph.cli.adopt import Adoption

            Adoption(self.settings, self.bare_store).round()
        return self.bare_store

    @cached_property
    def bare_store(self) -> Store:
        """The store as it is. Raises SettingsError, StoreError."""
        self._opened = open_store(self.settings.store_url, self.settings.key)
        return self._opened

    def use_store(self, url: str) -> None:
        """Another store from here on; before the first use of one."""
        self.settings = replace(self.settings, store=url)

    @property
    def _file(self) -> Path | None:
        """The file of the store; None when it is kept in memory, or by a server."""
        url = self.settings.store_url
        return None if url == "memory:" or is_remote(url) else sqlite_path(url)

    @property
    def interactive(self) -> bool:
        """Whether a person can answer a question."""
        return sys.stdin.isatty() and self.err.is_terminal

    def show(self, *things: RenderableType) -> None:
        """Print for a person: one thing below the other."""
        for thing in things:
            self.out.print(thing, highlight=False, markup=False, soft_wrap=isinstance(thing, str))

    def give(self, value: Any) -> None:
        """Print one line of JSON. Structs become objects, what JSON has no word for becomes text."""
        self.write(_to_json.encode(value) + b"\n")

    def write(self, data: bytes) -> None:
        """Bytes to stdout as they are."""
        sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Let whoever reads stdout see what there is."""
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """A remark about the work, on stderr."""
        self.err.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str, total: float | None = None, *, hidden: bool = False) -> Iterator[Progress]:
        """A progress bar on stderr while the block lasts; nothing when stderr is no terminal. It has one task."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            console=self.err,
            transient=True,
            disable=hidden or not self.err.is_terminal,
        )
        with bar:
            bar.add_task(title, total=total)
            yield bar

    def close(self) -> None:
        """Let go of the store."""
        if self._opened is not None:
            self._opened.close()


def screen(color: bool, *, stderr: bool) -> Screen:
    """A console on stdout or stderr. NO_COLOR and TERM=dumb are honoured: then no escape code at all is written."""
    console = Screen(stderr=stderr)
    system: Literal["auto"] | None = "auto" if color and not console.no_color else None
    width = None if console.is_terminal else PIPE_WIDTH
    return Screen(stderr=stderr, color_system=system, width=width)


def _holds_folders(folder: Path) -> bool:
    """Whether there may be journals: see `compose.journals_folder` for where they lie."""
    return folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())
