"""A retention rule as a value: what meets all of its conditions may go."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from tachograph.errors import SettingsError
from tachograph.upkeep.amounts import time_text

ENDED = ("completed", "failed", "cancelled", "abandoned")
"""Statuses of runs that are over. Others are never pruned."""


class Rule(Struct, frozen=True, kw_only=True):
    """Runs that meet every condition given here may go. A rule needs one at least. Raises SettingsError."""

    name: str
    older_than: int | None = None
    """Nanoseconds since the run ended, and since all ended that it started."""
    status: tuple[str, ...] = ()
    """Some of ENDED; empty is all of them."""
    tag: str | None = None
    tenant: str | None = None
    max_bytes: int | None = None
    """The oldest go, until the store occupies no more than so many bytes."""
    keep_tag: str = "keep"
    """Runs with this tag stay."""
    audits: bool = False
    """The rule is about audit runs, and about no others. Without it, it never is."""
    archive: Path | None = None
    """Folder into which the runs are written before they go."""

    def __post_init__(self) -> None:
        """Refuse a rule that would take everything, or could take nothing."""
        if self.older_than is None and self.max_bytes is None and not (self.status or self.tag or self.tenant):
            raise SettingsError(
                f"retention {self.name}", "", "a rule with older_than, status, tag, tenant or max_bytes"
            )
        for status in self.status:
            if status not in ENDED:
                raise SettingsError(f"retention {self.name}: status", status, f"one of {', '.join(ENDED)}")
        for name, least in (("older_than", self.older_than), ("max_bytes", self.max_bytes)):
            if least is not None and least <= 0:
                raise SettingsError(f"retention {self.name}: {name}", least, "more than 0")

    @property
    def conditions(self) -> str:
        """The conditions in words: `older than 30d, failed, tag team-a`."""
        said = (
            self.older_than and f"older than {time_text(self.older_than)}",
            " or ".join(self.status),
            self.tag and f"tag {self.tag}",
            self.tenant and f"tenant {self.tenant}",
            self.max_bytes and f"store above {self.max_bytes:,} bytes",
            self.audits and "audit runs",
        )
        return ", ".join(part for part in said if part)
