from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli import options
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries.period import Period
from tachograph.record.clock import SYSTEM
from tachograph.settings import Settings

HOUR = 3_600_000_000_000


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal at ten o'clock on the first day of 1970."""
    return Terminal(Settings(home=tmp_path), clock=SYSTEM._replace(now=lambda: 10 * HOUR))


def test_a_time_may_be_said_in_two_ways(terminal: Terminal) -> None:
    """So long ago, or a date; nothing is no bound."""
    assert options.when(terminal, "--since", "2h") == 8 * HOUR
    assert options.when(terminal, "--since", "1970-01-02") == 24 * HOUR
    assert options.when(terminal, "--since", None) is None
    assert options.period(terminal, "1h", None) == Period(9 * HOUR, None)


@pytest.mark.parametrize("text", ["soon", "", "99999999999999d"])
def test_what_is_no_time_is_refused(terminal: Terminal, text: str) -> None:
    """A time that cannot be read is bad usage that names the option."""
    with pytest.raises(SettingsError) as caught:
        options.when(terminal, "--since", text)
    assert caught.value.name == "--since"


def test_a_limit_is_at_least_one() -> None:
    """Asking for nothing is a mistake."""
    assert options.positive("--limit", 1) == 1
    with pytest.raises(SettingsError):
        options.positive("--limit", 0)
