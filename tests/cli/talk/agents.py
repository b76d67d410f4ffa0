"""Agents in a file, as users write them, for the commands that run one."""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
from tachograph.agent.agent import Agent
from tachograph.errors import ModelError
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel


def look(n: int) -> str:
    """Look it up."""
    return "seen"


def made(*script, **fields):
    return Agent(name="bot", model=ScriptedModel(script), tools=[look], **fields)


agent = made(Call("look", {"n": 1}), Say("Hello there, friend.", chunks=4), "And again.", "Third.")


def looping():
    return Agent(name="bot", model=ScriptedModel(lambda request: Call("look", {"n": 1})), tools=[look])


def endless():
    return made(Endless("la ", 0.02), "Back again.")


def keyless():
    return made(ModelError("auth", "no key", status=401))


number = 7
'''


def written(folder: Path) -> Path:
    """A file with agents in it."""
    path = folder / "bots.py"
    path.write_text(SOURCE)
    return path
