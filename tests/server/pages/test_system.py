from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tachograph.compose import System
from tachograph.record import scope
from tachograph.record.after.audit import audit
from tachograph.record.run import run
from tachograph.server.housekeeping import Rounds
from tachograph.server.pages import system
from tachograph.server.service import Service
from tachograph.settings import Settings
from tachograph.store.ports import Batch
from tachograph.store.rows import LossRow
from tachograph.upkeep.keeper import Health
from tests.server.pages.visitor import Visitor, key, text_of
from tests.server.recorded import recorded
from tests.upkeep.kept import BEGAN, desk, put

POLICIES = """
[[retention]]
name = "old"
older_than = "30d"
archive = "archive"

[[retention]]
name = "of blue"
tenant = "blue"
older_than = "7d"

[[alert]]
name = "spend"
metric = "cost"
threshold = "$5"
"""


@pytest.fixture
def service(service: Service, tmp_path: Path) -> Service:
    """A service with policies and a run."""
    (tmp_path / "policies.toml").write_text(POLICIES)
    put(service.store, desk("asked", BEGAN))
    return service


def test_it_says_how_the_store_and_the_server_are(service: Service, tmp_path: Path) -> None:
    """Sizes, journals, rules, alerts, prices, keys, libraries and versions, each under its heading."""
    said = text_of(Visitor(service).get("/system?whole=true").text)
    for part in (
        f"sqlite:{tmp_path}", "Runs 1", "Model calls 1", "Waiting in journals 0", "None: everything that was recorded",
        "old older than 30d", "of blue", "spend cost $5", "has not fired", "genai-prices", "No call is without a price",
        "None yet. On this machine nobody needs one.", "uplot 1.6.32 MIT", "htmx.org 4.0.1 0BSD",
        "Nothing yet: no deletion", "This server",
    ):  # fmt: skip
        assert part in said


def test_what_waits_and_what_was_lost_is_named(service: Service) -> None:
    """A journal of a process that has left, with what is not in the store yet; losses with their reason."""
    system = System(Settings(home=service.settings.home, store=service.store.url, drain=False))
    before = scope.use(lambda: system.recorder)
    with run("kept"):
        pass
    scope.use(before)
    system.recorder.close()
    service.store.note(LossRow(id=0, at=1, journal="j", reason="damage", events=2, bytes=100, detail="segment <1>"))
    service.store.note(LossRow(id=1, at=2, journal="k", reason="disk", events=0, bytes=0, detail=""))
    said = text_of(Visitor(service).get("/system/records").text)
    for part in (
        "Waiting in journals 2", "gone", "2 events", "journals of processes that are gone: 1", "damage 2 100 B",
        "segment <1>", "disk — 0 B", "Lost outside runs 2",
    ):  # fmt: skip
        assert part in said


def test_what_has_to_be_counted_comes_as_parts(service: Service) -> None:
    """The page itself is there at once; store and prices come after it, or with it where there are no scripts."""
    visitor = Visitor(service)
    page = visitor.get("/system").text
    assert "Model calls" not in page
    assert 'href="/system?whole=true"' in page
    for part, inside in (("records", "Model calls"), ("prices", "Prices")):
        answer = visitor.get(f"/system/{part}").text
        assert inside in answer
        assert "<html" not in answer


def test_libraries_that_are_missing_are_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says which, and how to get them; it needs none of them itself."""
    for module in ("tachograph.server.pages.site", "tachograph.server.pages.system"):
        monkeypatch.setattr(f"{module}.missing", lambda: ("htmx.org",))
    page = Visitor(service).get("/system").text
    assert "Not here: htmx.org." in text_of(page)
    assert "make assets" in page
    assert "hx-" not in page
    assert "htmx.js" not in page
    assert ('<span class="status failed">missing</span>' in page) is True


def test_what_fails_is_said(service: Service) -> None:
    """A drain or an upkeep that fails, and policies that cannot be used, stand on top."""
    failing = replace(
        service, rounds=Rounds(failing="the disk is full", failures=3), upkeep=Health(last_failure="pruning: locked")
    )
    said = text_of(Visitor(failing).get("/system").text)
    assert "The drain fails: the disk is full" in said
    assert "Upkeep fails: pruning: locked" in said
    (service.settings.home / "policies.toml").write_text("[[alert]]\nmetric = 'luck'")
    broken = Visitor(service).get("/system")
    assert (broken.status_code, "The policies cannot be used" in broken.text) == (200, True)


def test_what_was_done_is_named_newest_first(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of the audit in words: short lists as they are, long ones by their length, only the newest."""
    monkeypatch.setattr(system, "_ENTRIES", 2)
    for at, runs in enumerate((["a"], ["b", "c"], list("defgh"))):
        events = audit("run_deleted", {"runs": runs}, at=BEGAN + at, entropy=bytes([at] * 6), user="ada")
        service.store.append(Batch(events))
    said = text_of(Visitor(service).get("/system").text)
    assert "run deleted ada default runs 5" in said
    assert said.index("runs 5") < said.index("runs b, c")
    assert "runs a" not in said


def test_a_tenant_sees_what_is_its_own(service: Service) -> None:
    """Its rules and its models; not the store, not where it is, nor what the server does for others."""
    keyed = replace(service, needs_key=True)
    recorded(keyed, tenant="blue")
    visitor = Visitor(keyed, key(keyed, "read", "blue"))
    said = text_of(visitor.get("/system?whole=true").text)
    assert "of blue" in said
    for hidden in ("sqlite:", "This server", "older than 30d", "spend", "policies.toml", str(keyed.settings.home)):
        assert hidden not in said
    assert visitor.get("/system/records").status_code == 403
    assert visitor.get("/system/prices").status_code == 200


def test_where_the_store_is_is_for_admins(service: Service) -> None:
    """Beyond this machine a key that only reads sees the kind of the store, and no path."""
    keyed = replace(service, needs_key=True)
    home = str(keyed.settings.home)
    assert home in Visitor(keyed, key(keyed, "admin")).get("/system").text
    reads = Visitor(keyed, key(keyed, "read"))
    assert home not in reads.get("/system?whole=true").text
    assert home not in reads.get("/system/records").text
