"""What an empty store shows: ways to the first run, and what coding agents have left on this machine."""

from __future__ import annotations

from msgspec import Struct

from tachograph.web.system import quoted

AGENTS = {"claude-code": "Claude Code", "codex": "Codex", "gemini-cli": "Gemini CLI"}
"""Format of session logs → whose they are."""


class Left(Struct, frozen=True, kw_only=True):
    """Session logs of one agent."""

    format: str
    home: str
    files: int
    bytes: int

    @property
    def agent(self) -> str:
        """The agent's name."""
        return AGENTS.get(self.format, self.format)


class First(Struct, frozen=True, kw_only=True):
    """Where the first run may come from."""

    address: str
    """Of this server."""
    store: str
    """What commands have to name this server's store by; empty for the default store, and for who may not know it."""
    is_here: bool
    """Whether who looks sits at this machine: commands go to its store then."""

    def command(self, *words: str) -> str:
        """A command that writes to this store."""
        return " ".join(("tachograph", *words, *(("--store", quoted(self.store)) if self.store else ())))

    @property
    def environment(self) -> str:
        """What programs have to be started with; empty where they write to this store by themselves."""
        if not self.is_here:
            return f"export TACHOGRAPH_STORE={quoted(self.address)} TACHOGRAPH_KEY=tg_…"
        return f"export TACHOGRAPH_STORE={quoted(self.store)}" if self.store else ""
