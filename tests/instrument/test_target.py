"""Where a logger records."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tachograph import compose
from tachograph.errors import LimitExceeded, SettingsError
from tachograph.instrument.target import Target
from tachograph.record import scope
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured


def test_nothing_means_the_process_s_own_recorder(events: Captured) -> None:
    """As it stands when something is recorded, not when the logger was made."""
    target = Target()
    assert target.recorder() is scope.recorder()
    assert target.clock() is scope.recorder().clock


def test_one_system_a_store_and_process(database: Path, tmp_path: Path) -> None:
    """However the store is spelled; the process's own store is the process's own system."""
    one, other = Target(tmp_path / "x.db"), Target(f"sqlite:///{tmp_path}/./x.db")
    assert one.recorder() is other.recorder()
    assert one.recorder() is not compose.current().recorder
    assert Target(database).recorder() is compose.current().recorder
    assert Target(tmp_path / "y.db").recorder() is not one.recorder()


def test_a_store_has_the_settings_of_the_process(tmp_path: Path) -> None:
    """All but the store itself; configured anew, it has the new ones."""
    compose.configure(home=tmp_path, capture="none")
    target = Target(tmp_path / "x.db")
    first = target.recorder()
    assert first is not None
    assert first.scrubber.keeps_content is False
    compose.configure(home=tmp_path).close()
    second = target.recorder()
    assert second is not None
    assert (second is first, second.scrubber.keeps_content) == (False, True)


def test_a_store_that_cannot_be_is_refused_at_once() -> None:
    """Not when the first thing is to be recorded."""
    with pytest.raises(SettingsError, match="ftp"):
        Target("ftp:nowhere")


def test_a_failure_of_ours_is_counted(events: Captured, caplog: pytest.LogCaptureFixture) -> None:
    """And gives what was to be instead; a refusal passes."""
    target = Target()
    assert target.safely("here", lambda: 1 // 0, 7) == 7
    recorder = target.recorder()
    assert recorder is not None
    assert recorder.health.faults == {"here:ZeroDivisionError": 1}
    with pytest.raises(LimitExceeded):
        target.safely("here", _refuse, 7)


def test_without_a_recorder_there_is_still_a_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program goes on; the log says once why nothing is recorded."""
    target = Target(tmp_path / "x.db")
    monkeypatch.setattr(compose, "system_for", _refuse)
    with caplog.at_level(logging.WARNING):
        assert (target.recorder(), target.recorder(), target.clock()) == (None, None, SYSTEM)
        assert target.safely("here", lambda: 1 // 0, 7) == 7
    assert [record.message[:30] for record in caplog.records] == [
        "nothing is recorded into sqlit", "logger fault in here: ZeroDivi",
    ]  # fmt: skip
    at, mono = target.moment()
    assert at > 0 < mono


def _refuse(*_: object) -> int:
    raise LimitExceeded("x", 1, 1, 1)
