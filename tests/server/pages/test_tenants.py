from __future__ import annotations

from typing import NamedTuple

import pytest
from starlette.testclient import TestClient

from tachograph.server.endpoint import Endpoint
from tachograph.server.pages import surface
from tachograph.server.service import Service
from tests.server.pages.visitor import Visitor, key
from tests.server.recorded import Recorded, recorded

NAMELESS = ("/static/{stamp}/{name}", "/system/records", "/system/logs", "/system/prune", "/system/prune/plan")
"""What shows nothing of runs, or is refused to whoever sees one tenant."""
MESSAGE, TOOL = 1, 5
"""Numbers of events of a recorded run: its first message, and the beginning of its tool call."""
PAGES = [each for each in surface.ENDPOINTS if each.method == "GET" and each.path not in NAMELESS]
_QUERIES = {
    "/": ("period=1h&view=table", "part=agents", "part=models", "part=stops", "part=slow", "agent_type=desk"),
    "/runs": (
        "part=count", "part=news", "part=rows&ids={run}", "part=rows&ids={other}", "session_id=shared",
        "counted=true",
    ),
    "/sessions": ("part=count", "session_id=shared"),
    "/interventions": ("interventions=false", "part=count"),
    "/search": ("q=secret-of&part=hits", "q=hi from&part=whole"),
    "/steps": ("", "kind=llm", "kind=tool"),
    "/session": ("id=shared", "id=shared&tenant=red", "id=shared&confirm=close"),
    "/compare": ("", "left={run}", "left={run}&right={other}", "right={other}"),
    "/compare/steps": ("left={run}&right={other}",),
    "/system": ("", "whole=true"),
}  # fmt: skip


class Both(NamedTuple):
    """A visitor with a key of blue's, one with a key of all tenants, and a run of each tenant."""

    blue: TestClient
    whole: TestClient
    run: Recorded
    other: Recorded


@pytest.fixture
def both(keyed: Service) -> Both:
    """Blue and red, with the same session and agent, and the same texts but for one word."""
    run, other = (
        recorded(keyed, tenant=tenant, session="shared", said=f"secret-of-{tenant}") for tenant in ("blue", "red")
    )
    key(keyed, "admin", "red")
    return Both(Visitor(keyed, key(keyed, "admin", "blue")), Visitor(keyed, key(keyed)), run, other)


@pytest.mark.parametrize("page", PAGES, ids=lambda each: each.path)
def test_no_page_shows_a_tenant_what_is_anothers(both: Both, page: Endpoint) -> None:
    """Blue's visitor gets nothing of red's from any page or part of one; named outright, it is not there."""
    for address in addresses(page, both.run, both.other):
        shown = both.blue.get(address)
        assert shown.status_code in {200, 303, 404, 422}, (address, shown.text)
        for word in ("secret-of-red", "hi from red", "of-red", "of red", both.other.id, both.other.execution_id):
            if word not in address:
                assert word not in shown.text, address


@pytest.mark.parametrize("page", [each for each in PAGES if "{run}" in each.path], ids=lambda each: each.path)
def test_anothers_run_is_not_there(both: Both, page: Endpoint) -> None:
    """Every page of red's run answers blue as if there were no such run; who may see both gets the page."""
    address = filled(page.path, both.other)
    assert both.blue.get(address).status_code == 404
    assert both.whole.get(address).status_code == 200


def test_counts_are_those_of_the_tenant(both: Both) -> None:
    """A list counts what its visitor may see."""
    assert both.blue.get("/runs?part=count").text.strip() == "1 run"
    assert both.whole.get("/runs?part=count").text.strip() == "2 runs"


def test_a_search_finds_what_its_visitor_may_see(both: Both) -> None:
    """The same words are found in the runs of both tenants by whoever may see both, and in its own by one."""
    own, every = (client.get("/search?q=secret&part=hits").text for client in (both.blue, both.whole))
    assert ("-of-blue" in own, "-of-red" in own) == (True, False)
    assert ("-of-blue" in every, "-of-red" in every) == (True, True)


def addresses(page: Endpoint, run: Recorded, other: Recorded) -> list[str]:
    """The page as blue would ask for it, and such that name what is red's."""
    if "{" in page.path:
        return [filled(page.path, run), filled(page.path, other)]
    queries = _QUERIES.get(page.path, ("",))
    return [f"{page.path}?{query.format(run=run.id, other=other.id)}".rstrip("?") for query in queries]


def filled(path: str, of: Recorded) -> str:
    """The path with its parameters: a run, its model call and one of its texts, its first message."""
    return path.format(run=of.id, step=f"{of.id[:-8]}{TOOL:08x}", text="output", seq=MESSAGE)
