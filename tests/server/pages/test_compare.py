from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from tachograph.events.content import inline
from tachograph.events.usage import Cost, Usage
from tachograph.server.app import build
from tachograph.server.callers.keys import mint
from tachograph.server.pages import compare
from tachograph.server.service import Service
from tachograph.testing import CountIds
from tests.queries.diff.scenes import FIND, PAY, kept, taped
from tests.server.serving import service_over
from tests.strategies import BEGAN, Tape

OTHER = ("find", '{"id":8}', '"eight"')
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def service() -> Service:
    """A service over a store in memory."""
    return service_over()


@pytest.fixture
def visit(service: Service) -> Any:
    """`visit(path, **asked)`: a page of that service."""
    client = TestClient(build(service), base_url="http://localhost:4319", follow_redirects=False)
    return lambda path="/compare", **asked: client.get(path, params=asked or None)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without the libraries."""
    monkeypatch.setattr(compare, "missing", lambda: ("htmx.org", "uplot"))


@pytest.fixture
def stocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout with them."""
    monkeypatch.setattr(compare, "missing", tuple)


def text_of(html: str) -> str:
    """What a page says, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html.partition("</header>")[2])).split())


def rows_of(html: str) -> list[str]:
    """What each row of steps says."""
    return [text_of(f"</header>{row}") for row in re.findall(r'<tr class="(?:pair|fold).*?</tr>', html, re.DOTALL)]


def test_two_runs_side_by_side(visit: Any, service: Service) -> None:
    """Both heads, where they part, totals with differences, every verdict in a word, and links to each step."""
    left, right = kept(service.store, taped("a", FIND, "Done."), taped("b", OTHER, PAY, "Done."))
    shown = visit(left=left, right=right)
    text = text_of(shown.text)
    assert shown.status_code == 200
    assert f'href="/runs/{left}"' in shown.text
    assert "They part at step 1 of 5 : the model call gpt-4o was asked the same and differs in answer." in text
    assert "0 same · 2 changed" in text or "1 same · 2 changed" in text
    assert "Model calls 2 3 +1 more +50.0 %" in text
    assert "Interventions 0 0 equal" in text
    rows = rows_of(shown.text)
    assert "changed first difference answer" in rows[0]
    assert sum("only in B" in row for row in rows) == 2
    assert sum("no such step" in row for row in rows) == 2
    assert 'href="#divergence"' in shown.text
    assert shown.text.count('id="divergence"') == 1
    for run in (left, right):
        assert re.search(rf'href="/runs/{run}/steps/{run[:-8]}[0-9a-f]{{8}}"', shown.text)


def test_unknown_figures_are_no_zeros(visit: Any, service: Service) -> None:
    """A run without usage and prices has dashes, a run that is not over has no time, and a remark says so."""
    silent = taped("a", "Done.", usage=Usage(), cost=Cost(reason="no_price"))
    still = Tape("still", at=BEGAN)
    still.begin("still")
    still.call()
    kept(service.store, silent, still)
    text = text_of(visit(left=silent.run, right=still.run).text)
    assert "Cost — — —" in text
    assert "Input tokens — — —" in text
    assert re.search(r"Time \S+ ms — —", text)
    assert "B has not ended" in text


def test_runs_that_do_not_part(visit: Any, service: Service) -> None:
    """It is said; the equal steps are one link away, and so is the page with the sides exchanged."""
    left, right = kept(service.store, taped("a", FIND, "Done."), taped("b", FIND, "Done."))
    shown = visit(left=left, right=right)
    assert "They do not part: in every step (3)" in text_of(shown.text)
    assert rows_of(shown.text) == ["3 equal steps"]
    assert f'href="/compare?left={right}&amp;right={left}"' in shown.text
    everything = visit(left=left, right=right, all=True)
    assert [row.split()[-1] for row in rows_of(everything.text)] != []
    assert len(rows_of(everything.text)) == 3
    assert "A and B are the same run." in text_of(visit(left=left, right=left).text)


def test_runs_without_steps(visit: Any, service: Service) -> None:
    """Nothing to compare is said, too."""
    left, right = kept(service.store, taped("a"), taped("b"))
    assert "Neither run has a step to compare." in text_of(visit(left=left, right=right).text)


def test_a_fork_and_its_origin(visit: Any, service: Service) -> None:
    """What the fork took over is named and not compared; its head leads to the origin."""
    left = taped("a", FIND, PAY, "Done.")
    seq = next(event.seq for event in left.events if event.body.__class__.__name__ == "ToolEnded")
    metadata = inline(f'{{"forked_from": {{"run": "{left.run}", "seq": {seq}}}}}')
    right, other = taped("b", "No.", metadata=metadata), taped("c", "No.")
    kept(service.store, left, right, other)
    assert "B is a fork of A. What B took over (2 steps) is not compared" in text_of(
        visit(left=left.run, right=right.run).text
    )
    assert f'href="/compare?left={left.run}&amp;right={right.run}"' in visit(left=other.run, right=right.run).text


def test_one_run_or_none(visit: Any, service: Service) -> None:
    """A form and runs to choose from: alike ones where a run is known, else the newest; an empty store has neither."""
    assert "There are no runs yet." in text_of(visit().text)
    left, right = kept(service.store, taped("a", FIND), taped("b", FIND))
    assert f'href="/compare?left={right}"' in visit().text
    chosen = visit(left=left)
    assert (chosen.status_code, "Runs of the same session" in text_of(chosen.text)) == (200, True)
    assert f'href="/compare?left={left}&amp;right={right}"' in chosen.text
    assert f'href="/compare?left={left}&amp;right={right}"' in visit(left="", right=right).text
    (alone,) = kept(service.store, taped("z", FIND, session=None, agent_type=None))
    assert "No other run is like it." in text_of(visit(left=alone).text)
    for html in (visit().text, chosen.text):
        assert '<form class="filters" method="get" action="/compare">' in html


@pytest.mark.parametrize(("name", "said"), [("nobody", "no run"), ("0", "more than one run")])
def test_a_run_that_is_not_there(visit: Any, service: Service, name: str, said: str) -> None:
    """Unknown and unclear names are said with their side, above the choice for the other one."""
    (left, _) = kept(service.store, taped("a", FIND), taped("b", FIND))
    shown = visit(left=left, right=name)
    assert (shown.status_code, f"B: {said}" in text_of(shown.text)) == (404, True)
    assert "Runs of the same session" in text_of(shown.text)


@pytest.mark.parametrize("asked", [{"offset": -1}, {"all": "perhaps"}, {"side": "a"}])
def test_parameters_that_are_none(visit: Any, asked: dict[str, Any]) -> None:
    """A page that says what is wrong."""
    assert visit(**asked).status_code == 422


def test_long_runs_are_compared_later(
    visit: Any, service: Service, stocked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page comes at once and names where its steps are; one that waits is a link away, and is what it becomes."""
    monkeypatch.setattr(compare, "AT_ONCE", 10)
    left, right = kept(service.store, taped("a", FIND, "Done."), taped("b", FIND, PAY, "Done."))
    shown = visit(left=left, right=right, offset=0)
    (part,) = re.findall(r'hx-get="([^"]+)"', shown.text)
    (whole,) = re.findall(r'href="([^"]+now=true[^"]*)"', shown.text)
    assert ("Totals" in shown.text, unescape(part)) == (False, f"/compare/steps?left={left}&right={right}")
    fragment, page = visit(unescape(part)), visit(unescape(whole))
    assert (fragment.status_code, "<html" in fragment.text) == (200, False)
    assert (page.status_code, rows_of(page.text)) == (200, rows_of(fragment.text))
    assert visit("/compare/steps", left=left).status_code == 404


def test_without_the_libraries_the_page_waits(
    visit: Any, service: Service, bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would fetch the steps later, so they are there at once."""
    monkeypatch.setattr(compare, "AT_ONCE", 10)
    left, right = kept(service.store, taped("a", FIND, "Done."), taped("b", FIND, PAY, "Done."))
    shown = visit(left=left, right=right).text
    assert ("hx-get" in shown, "They part at" in shown) == (False, True)


def test_steps_come_in_pages(visit: Any, service: Service) -> None:
    """So many at a time; the first difference is on its page, and equal steps that were left out lead to theirs."""
    turns = [FIND] * 70
    left, right = kept(service.store, taped("a", *turns, "Done."), taped("b", *turns, PAY, "Done."))
    first = visit(left=left, right=right, all=True)
    assert "1 to 100 of 143" in text_of(first.text)
    (there,) = re.findall(r'href="([^"]+)#divergence"', first.text)
    assert "offset=100" in there
    second = visit(unescape(there))
    assert 'id="divergence"' in second.text
    assert re.search(r'rel="prev" href="/compare\?left=[^"]+all=true"', second.text)
    short = visit(left=left, right=right)
    assert rows_of(short.text)[0] == "139 equal steps"
    (hidden,) = re.findall(r'<tr class="fold".*?href="([^"]+)"', short.text)[:1]
    assert len(rows_of(visit(unescape(hidden)).text)) == 100
    assert "Nothing so far down" in text_of(visit(left=left, right=right, offset=500).text)


def test_what_agents_wrote_is_text(visit: Any, service: Service) -> None:
    """Names, arguments, results, answers and errors are escaped, and controls are made visible."""
    tool = (HOSTILE, '{"x":"<img src=x onerror=alert(1)>"}', '"<b>bold</b>"')
    left = taped("a", tool, HOSTILE, agent_type=HOSTILE, session=HOSTILE)
    right = taped("b", HOSTILE + "!", agent_type=HOSTILE, session=HOSTILE)
    kept(service.store, left, right)
    for shown in (visit(left=left.run, right=right.run), visit(left=left.run), visit(left=HOSTILE), visit()):
        assert "<script>" not in shown.text
        assert "<img" not in shown.text
        assert "<b>bold" not in shown.text
        assert "\x1b" not in shown.text
        assert "\u202e" not in shown.text
        assert re.findall(r"""\s(?:style|on[a-z]+)=["']""", shown.text) == []


def test_a_tenant_sees_its_own_runs(tmp_path: Any) -> None:
    """Another tenant's run is not there, neither to compare nor to choose."""
    keyed = service_over(home=tmp_path, needs_key=True)
    mine, other = kept(keyed.store, taped("a", FIND, tenant="mine"), taped("b", FIND, tenant="other"))
    key = mint(keyed.store, "mine", "read", "mine", now_ns=1, entropy=CountIds()).text
    client = TestClient(build(keyed), base_url="http://localhost:4319", headers={"Authorization": f"Bearer {key}"})
    assert client.get("/compare", params={"left": mine, "right": mine}).status_code == 200
    assert client.get("/compare", params={"left": mine, "right": other}).status_code == 404
    assert other not in client.get("/compare", params={"left": mine}).text
