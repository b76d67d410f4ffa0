"""Programs that talk in sessions from processes of their own, all over one store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tachograph import compose
from tachograph.agent.session.history import conversation
from tachograph.agent.session.session import Session
from tachograph.events.chat import Message

ROOT = Path(__file__).parents[3]
_BEGINNING = """
import asyncio, os, signal, sys, time
import tachograph
from tachograph import Agent, Session
from tachograph.errors import LimitExceeded, SessionBusy, SessionConflict
from tachograph.testing import Call, Say, ScriptedModel
tachograph.configure(store=sys.argv[1])
name = sys.argv[2]
def echo(request):
    return "re " + request.messages[-1].text
def agent(script=echo, **fields):
    return Agent(name="desk", model=ScriptedModel(script), **fields)
"""


def start(program: str, store: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs a program over a store; `name` is its first argument, `agent` makes one that echoes."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command: Sequence[str] = [sys.executable, "-W", "error", "-c", _BEGINNING + program, store, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def told(process: subprocess.Popen[str], seconds: float = 120) -> str:
    """What a process wrote; it must have ended well."""
    out, err = process.communicate(timeout=seconds)
    assert (process.returncode, err) == (0, "")
    return out


def said(session: str, *, accept: bool = False) -> tuple[Message, ...]:
    """What stands in a session, read from the log by this process."""
    asked = Session(session)
    head = asked.head()
    assert head is not None
    return conversation(compose.recording(), head, accept=accept)
