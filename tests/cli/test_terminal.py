from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.table import Table

from tachograph.cli.terminal import Terminal, screen
from tachograph.errors import StoreUnavailable
from tachograph.settings import Settings


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal on captured output, with a store that is not there yet."""
    return Terminal(Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'runs.db'}"))


def test_reading_does_not_make_a_store(terminal: Terminal, tmp_path: Path) -> None:
    """A question to a store that nobody recorded into is refused, and no file appears."""
    with pytest.raises(StoreUnavailable):
        terminal.store.next_seq("x")
    assert list(tmp_path.iterdir()) == []


def test_text_is_shown_as_it_is(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup, and long lines are neither cut nor wrapped in a pipe."""
    long = "word " * 100
    terminal.show("[red]no markup[/red]", long)
    assert capsys.readouterr().out == f"[red]no markup[/red]\n{long}\n"


def test_remarks_go_beside_the_output(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said about the work is on stderr; what a program reads is on stdout, one value a line."""
    terminal.tell("busy")
    terminal.give({"a": 1, "b": None})
    terminal.flush()
    assert capsys.readouterr() == ('{"a":1,"b":null}\n', "busy\n")


def test_no_bar_is_drawn_where_nobody_sees_it(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal a progress bar writes nothing."""
    with terminal.progress("working", total=2) as bar:
        bar.advance(bar.task_ids[0])
    assert capsys.readouterr() == ("", "")
    assert not terminal.interactive


def test_a_closed_pipe_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console whose reader went away raises what says so, instead of leaving the program."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        screen(color=True, stderr=False).print(Table("a"))


def test_another_store_may_be_chosen(terminal: Terminal, tmp_path: Path) -> None:
    """Before its first use the store can be changed; what is in memory needs no file."""
    terminal.use_store("memory:")
    assert terminal.store.url == "memory:"
    terminal.close()
