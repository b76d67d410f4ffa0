from __future__ import annotations

import pytest

from tachograph.server.pages import admins
from tachograph.server.service import Service
from tests.server.pages.visitor import Visitor, key, text_of
from tests.server.recorded import Recorded, recorded


@pytest.fixture
def run(service: Service) -> Recorded:
    """A run in the service's store."""
    return recorded(service, session="ticket-7")


def test_it_says_what_goes_and_then_it_goes(service: Service, run: Recorded) -> None:
    """Counts, the conversation and the moment of the oldest are named; the form deletes, and the audit knows who."""
    visitor = Visitor(service)
    path = f"/runs/{run.id}/delete"
    said = text_of(visitor.get(path).text)
    for part in ("Runs 1", "Events 8", "Steps 2", "Model calls 1", "Tool calls 1", "ticket-7", "What goes, since 20"):
        assert part in said
    assert text_of(visitor.get(f"{path}/size").text).startswith("≈ ")
    done = visitor.submit(path, path)
    assert (done.status_code, "Runs 1 Events 8" in text_of(done.text)) == (200, True)
    assert visitor.get(path).status_code == 404
    [entry] = visitor.get("/api/audit").json()["entries"]
    assert (entry["action"], entry["user"], entry["details"]["runs"]) == ("run_deleted", "local", [run.id])


def test_much_goes_only_when_somebody_types_so(
    service: Service, run: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page asks for a word; without it nothing is deleted, and it says so."""
    monkeypatch.setattr(admins, "MANY_EVENTS", 3)
    visitor = Visitor(service)
    path = f"/runs/{run.id}/delete"
    assert 'name="typed" required' in visitor.get(path).text
    refused = visitor.submit(path, path, typed="yes")
    assert (refused.status_code, "Nothing was deleted: type delete" in text_of(refused.text)) == (422, True)
    assert visitor.submit(path, path, typed="delete").status_code == 200
    assert visitor.get(path).status_code == 404


def test_what_was_not_named_does_not_go(service: Service, run: Recorded) -> None:
    """An execution that has more runs by now than the page said is asked about again."""
    visitor = Visitor(service)
    path = f"/runs/{run.id}/delete"
    form = visitor.hidden(path, path)
    recorded(service, execution_id=run.execution_id)
    refused = visitor.post(path, data=form)
    assert (refused.status_code, "2 runs, not 1" in refused.text) == (422, True)
    assert visitor.submit(path, path).status_code == 200


@pytest.mark.parametrize("scope", ["read", "write"])
def test_only_an_admin_deletes(keyed: Service, scope: str) -> None:
    """Neither the page nor the form nor the size is for a narrower key."""
    run = recorded(keyed)
    visitor = Visitor(keyed, key(keyed, scope))  # type: ignore[arg-type] # one of the scopes
    path = f"/runs/{run.id}/delete"
    token = visitor.hidden("/system", "/key/forget")["token"]
    answers = (visitor.get(path), visitor.get(f"{path}/size"), visitor.post(path, data={"token": token, "seen": "1"}))
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert visitor.get(f"/api/runs/{run.id}").status_code == 200


def test_a_tenant_deletes_what_is_its_own(keyed: Service) -> None:
    """An execution that two tenants share goes for the one that asks; the other's run is not named, and stays."""
    runs = {tenant: recorded(keyed, tenant=tenant, execution_id="exec_shared") for tenant in ("blue", "red")}
    visitor = Visitor(keyed, key(keyed, "admin", "blue"))
    assert visitor.get(f"/runs/{runs['red'].id}/delete").status_code == 404
    path = f"/runs/{runs['blue'].id}/delete"
    assert runs["red"].id not in visitor.get(path).text
    assert visitor.submit(path, path).status_code == 200
    everybody = Visitor(keyed, key(keyed))
    assert [run["id"] for run in everybody.get("/api/runs").json()["runs"]] == [runs["red"].id]
