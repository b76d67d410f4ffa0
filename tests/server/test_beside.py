from __future__ import annotations

import pytest
from msgspec import structs

from tachograph.errors import NotFound
from tachograph.server.beside import Anew, close, key_of, ledger_of, reset
from tachograph.server.callers.access import NOBODY
from tachograph.server.endpoint import Ask, Nothing
from tachograph.server.service import Service


def _asking(service: Service, tenant: str | None = None) -> Ask:
    caller = structs.replace(NOBODY, tenant=tenant)
    return Ask(service, caller, service.store, Nothing(), {}, {}, b"", now=1)


def test_a_caller_means_a_session_of_its_own_tenant(service: Service) -> None:
    """Who sees all tenants names one, or means the default; who sees one has no other's."""
    every, blue = _asking(service), _asking(service, "blue")
    assert [key_of(every, "s", None), key_of(every, "s", "red")] == [("default", "s"), ("red", "s")]
    assert [key_of(blue, "s", None), key_of(blue, "s", "blue")] == [("blue", "s")] * 2
    with pytest.raises(NotFound):
        key_of(blue, "s", "red")


def test_nothing_is_made_for_a_session_that_is_not_there(service: Service) -> None:
    """A change to it is refused, and no ledger is made to look into."""
    ask = _asking(service)
    with pytest.raises(NotFound):
        close(ask, ("default", "s"))
    with pytest.raises(NotFound):
        reset(ask, ("default", "s"), Anew(history=True))
    with ledger_of(ask) as ledger:
        assert ledger is None
