from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tachograph.errors import ArchiveFailed
from tachograph.server.pages import admins, pruning
from tachograph.server.service import Service
from tachograph.upkeep.prune import Pruned, Swept
from tests.server.pages.visitor import Visitor, key, text_of
from tests.upkeep.kept import BEGAN, DAY, desk, names, put

RULES = """
[[retention]]
name = "old"
older_than = "30d"
"""
PATH = "/system/prune"


@pytest.fixture
def service(service: Service, tmp_path: Path) -> Service:
    """A service with a rule, over a store with a run that is old and one that is not."""
    (tmp_path / "policies.toml").write_text(RULES)
    put(service.store, desk("old", service.clock.now() - 400 * DAY), desk("young", service.clock.now() - DAY))
    return service


def test_it_says_what_would_go_and_then_it_goes(service: Service) -> None:
    """Rule, counts, oldest run and sizes are named; the form erases that, the audit knows who, and the rest stays."""
    visitor = Visitor(service)
    first = visitor.get(PATH).text
    assert "Work out what would go" in first
    assert "<form" not in first.partition("<main")[2].partition("</main")[0]
    said = text_of(visitor.get(f"{PATH}?plan=true").text)
    assert "old older than 30d 2022-" in said
    assert "about" in said
    assert "Delete 1 run" in said
    done = visitor.submit(f"{PATH}?plan=true", PATH)
    assert (done.status_code, "Pruned" in done.text) == (200, True)
    assert names(service.store) == ["young"]
    [entry] = visitor.get("/api/audit").json()["entries"]
    assert (entry["action"], entry["user"], entry["details"]["runs"]) == ("pruned", "local", 1)
    assert "Nothing would go now" in visitor.get(f"{PATH}?plan=true").text


def test_the_plan_comes_as_a_part_of_its_own(service: Service) -> None:
    """For who has scripts: the same, without the page around it."""
    part = Visitor(service).get(f"{PATH}/plan").text
    assert "<html" not in part
    assert "Delete 1 run" in part


def test_what_was_not_in_the_plan_does_not_go(service: Service) -> None:
    """More runs than the plan had, a plan of long ago or of the future: nothing is deleted, and it says so."""
    visitor = Visitor(service)
    form = visitor.hidden(f"{PATH}?plan=true", PATH)
    for at in (int(form["at"]) - 2 * pruning._HOUR_NS, int(form["at"]) + pruning._HOUR_NS):
        said = visitor.post(PATH, data={**form, "at": str(at)})
        assert (said.status_code, "That plan is old" in said.text) == (422, True)
    put(service.store, desk("older", service.clock.now() - 500 * DAY))
    said = visitor.post(PATH, data=form)
    assert (said.status_code, "2 runs, not 1" in said.text) == (422, True)
    assert names(service.store) == ["older", "old", "young"]


def test_much_goes_only_when_somebody_types_so(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word is asked for, and without it nothing goes."""
    monkeypatch.setattr(admins, "MANY_RUNS", 0)
    visitor = Visitor(service)
    assert visitor.submit(f"{PATH}?plan=true", PATH).status_code == 422
    assert names(service.store) == ["old", "young"]
    assert visitor.submit(f"{PATH}?plan=true", PATH, typed="delete").status_code == 200
    assert names(service.store) == ["young"]


def test_a_request_erases_for_a_while_and_no_longer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over it says what it came to, and what is left can be asked about again."""
    monkeypatch.setattr(pruning, "SECONDS", 0)
    visitor = Visitor(service)
    done = visitor.submit(f"{PATH}?plan=true", PATH)
    assert (done.status_code, "See whether more is to go" in done.text) == (200, True)
    assert names(service.store) == ["old", "young"]


def test_an_archive_that_cannot_be_written_keeps_the_runs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes that was to be archived and is not."""

    def failing(*_: object, **__: object) -> None:
        raise ArchiveFailed("archive", "the disk is full")

    monkeypatch.setattr(pruning, "prune", lambda *_, dry=False, **more: PLAN if dry else failing())
    said = Visitor(service).submit(f"{PATH}?plan=true", PATH)
    assert (said.status_code, "the disk is full" in said.text) == (409, True)
    assert names(service.store) == ["old", "young"]


def test_without_rules_it_says_how_to_write_one(service: Service, tmp_path: Path) -> None:
    """No file, or one that cannot be used: the page says which file, and what is wrong with it."""
    (tmp_path / "policies.toml").write_text("")
    assert "[[retention]]" in Visitor(service).get(PATH).text
    assert str(tmp_path) in Visitor(service).get(PATH).text
    (tmp_path / "policies.toml").write_text("[[retention]]\nname = 'x'\nolder_than = 'soon'")
    said = Visitor(service).get(PATH)
    assert (said.status_code, "older_than" in said.text) == (200, True)
    assert Visitor(service).get(f"{PATH}?plan=true").status_code == 422


def test_rules_are_about_the_records_of_everybody(service: Service) -> None:
    """A key for one tenant, or one that may not delete, neither sees nor does any of it."""
    keyed = replace(service, needs_key=True)
    for text in (key(keyed, "admin", "blue"), key(keyed, "write")):
        visitor = Visitor(keyed, text)
        token = visitor.hidden("/system", "/key/forget")["token"]
        answers = [visitor.get(PATH), visitor.get(f"{PATH}/plan"), visitor.get(f"{PATH}?plan=true")]
        answers.append(visitor.post(PATH, data={"token": token, "seen": "9", "at": "1"}))
        assert [answer.status_code for answer in answers] == [403] * 4
    assert names(service.store) == ["old", "young"]


PLAN = Pruned(
    rules=(msgspec.convert({"rule": "old", "conditions": "older than 30d", "runs": 1, "oldest_at": BEGAN}, Swept),),
    bytes_before=2,
    bytes_after=1,
    dry=True,
)
"""What a dry run says."""
