from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.session.terms import Terms
from tachograph.compose import System
from tachograph.errors import SettingsError
from tachograph.store.sessions.head import About


@pytest.mark.parametrize("wrong", [{"id": ""}, {"id": "s", "lease": 0}, {"id": "s", "state_version": 0}])
def test_terms_that_cannot_be_kept_are_refused(wrong: dict[str, Any]) -> None:
    """An empty name, a lease without time, a version below 1."""
    with pytest.raises(SettingsError):
        Terms(**wrong)


def test_another_store_than_the_one_that_is_recorded_into_is_refused(system: System, url: str) -> None:
    """A session that is said to be in a store is in that store, or nowhere."""
    assert Terms("s", store=url).system is system
    with pytest.raises(SettingsError, match="the store that this process records into"):
        _ = Terms("s", store="sqlite:/elsewhere.db").system


def test_names_are_kept_as_they_are_recorded(system: System) -> None:
    """Secrets in them are masked; two ids that look alike then are still two."""
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABC"
    one, other = Terms(f"{secret}D", tenant="t", user=secret, refs={"a": secret}), Terms(f"{secret}E", tenant="t")
    assert one.key[0] == "t"
    assert one.key != other.key
    assert secret not in repr((one.key, other.key, one.about))
    assert Terms("s").about == About()
    assert Terms("s", user="ada", platform="web", refs={"a": "b"}).about == About("ada", "web", {"a": "b"})


def test_that_nobody_else_can_read_is_said_once(system: System, caplog: pytest.LogCaptureFixture) -> None:
    """Of a conversation that could not be recorded; of one that can be read nothing is said."""
    terms = Terms("s")
    for nowhere in (False, True, True):
        terms.tell_unreadable(nowhere=nowhere)
    assert [record.message for record in caplog.records] == [
        "what is said in session s cannot be read back (it could not be recorded): only this process goes on"
    ]
