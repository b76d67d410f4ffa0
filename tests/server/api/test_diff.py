from __future__ import annotations

import httpx2
import pytest

from tachograph.server.callers.keys import mint
from tachograph.server.service import Service
from tachograph.testing import CountIds
from tests.queries.diff.scenes import FIND, PAY, kept, taped
from tests.server.conftest import Serve


def test_two_runs_are_compared(serve: Serve, service: Service) -> None:
    """Both runs, where they part, the totals with their differences, and a page of pairs; runs by any name."""
    left, right = kept(service.store, taped("a", FIND, "Done."), taped("b", FIND, PAY, "Done."))
    with httpx2.Client(base_url=serve(service)) as client:
        found = client.get("/api/diff", params={"left": left, "right": "last", "context": 0, "limit": 1}).json()
        assert (found["left"]["id"], found["right"]["id"]) == (left, right)
        assert (found["same"], found["changed"], found["only_left"], found["only_right"]) == (3, 0, 0, 2)
        assert (found["divergence"]["position"], found["divergence"]["verdict"]) == (2, "only_right")
        totals = {total["name"]: (total["left"], total["right"], total["difference"]) for total in found["totals"]}
        assert (totals["llm_calls"], totals["input_tokens"]) == ((2, 3, 1), (240, 360, 120))
        assert [pair["position"] for pair in found["pairs"]] == [2]
        assert (found["total_count"], found["limit"], found["offset"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"left": "last"}, 422),
        ({"left": "last", "right": "nobody"}, 404),
        ({"left": "last", "right": "last", "limit": 501}, 422),
        ({"left": "last", "right": "last", "side": 1}, 422),
        ({"left": "last", "right": "0"}, 409),
    ],
)
def test_what_cannot_be_compared_is_said(
    serve: Serve, service: Service, asked: dict[str, str | int], status: int
) -> None:
    """A missing side, a run that is not there or is not clear, parameters that are none."""
    kept(service.store, taped("a", FIND), taped("b", FIND))
    with httpx2.Client(base_url=serve(service)) as client:
        assert client.get("/api/diff", params=asked).status_code == status


def test_a_tenant_compares_its_own_runs(serve: Serve, keyed: Service) -> None:
    """Another tenant's run is not there for it."""
    mine, other = kept(keyed.store, taped("a", FIND, tenant="mine"), taped("b", FIND, tenant="other"))
    key = mint(keyed.store, "mine", "read", "mine", now_ns=1, entropy=CountIds()).text
    with httpx2.Client(base_url=serve(keyed), headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/api/diff", params={"left": mine, "right": mine}).status_code == 200
        assert client.get("/api/diff", params={"left": mine, "right": other}).status_code == 404
