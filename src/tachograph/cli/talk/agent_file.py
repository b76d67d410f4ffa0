"""Agents that a file holds: `FILE.py:NAME` names one, or a function that makes one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tachograph.agent.agent import Agent
from tachograph.errors import SettingsError

NAME = "agent"
"""What is looked for when no name is given."""


def load(spec: str) -> Agent:
    """The agent that `FILE.py:NAME` names (`:agent` when no name is given).

    The file is run as Python runs it, but for `__name__`; its folder is where it imports from. Raises
    FileNotFoundError, SettingsError, and whatever the file raises.
    """
    file, name = _apart(spec)
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(2, "no such file, which should hold an agent", str(path))
    found = getattr(_module(path), name, None)
    if found is None:
        raise SettingsError("FILE.py:NAME", spec, f"the name of an agent in {path.name}; there is no {name!r} in it")
    return _agent(spec, found)


def _apart(spec: str) -> tuple[str, str]:
    file, colon, name = spec.rpartition(":")
    if colon and name.isidentifier() and file:
        return file, name
    return spec, NAME


def _module(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SettingsError("FILE.py:NAME", str(path), "a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _agent(spec: str, found: Any) -> Agent:
    made = found() if callable(found) and not isinstance(found, Agent) else found
    if isinstance(made, Agent):
        return made
    raise SettingsError("FILE.py:NAME", spec, f"an Agent, or a function that makes one, not {type(made).__name__}")
