"""The wiring: from settings to a store with the right rows in it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tachograph
from tachograph import LimitExceeded, LLMCall, Usage, compose, run, step
from tachograph.compose import System, current, heads_of, journals_folder, recording
from tachograph.errors import SettingsError
from tachograph.fold.cost import price
from tachograph.limits.guard import AdmitAll
from tachograph.record import scope
from tachograph.record.clock import SYSTEM
from tachograph.record.recorder import Recorder
from tachograph.settings import Settings, read
from tachograph.store.query import Query
from tachograph.store.sessions.head import Taken
from tachograph.testing import capture, tick_clock


def calls(settings: Settings) -> list[dict[str, object]]:
    """Cost of all stored calls."""
    store = compose.open_store(settings)
    rows = store.find(Query("calls", columns=("cost_state", "cost_nano"), order=("step",), limit=None)).rows
    store.close()
    return [dict(row) for row in rows]


def record(model: str) -> None:
    """One call of 1,500 + 500 tokens, flushed."""
    with run("desk"), step(LLMCall(model, [{"role": "user", "content": "hi"}], provider="openai")) as call:
        call.usage = Usage(1500, 0, 0, 500, basis="provider")
    assert tachograph.flush()


def test_recorded_calls_are_priced_by_the_list_and_by_ones_own_prices(tmp_path: Path) -> None:
    """A setting, a file, the bundled list; what none of them knows is unpriced, never 0."""
    (tmp_path / "prices.toml").write_text('[[price]]\nmodel = "filed"\ninput = 1\noutput = 2\n')
    system = compose.configure(
        home=tmp_path,
        token_prices={"stated": {"input": 0.03, "output": 0.06}},
        million_prices={"millions": {"input": 30, "output": 60}},
    )
    for model in ("stated", "millions", "filed", "gpt-4", "nobody-knows"):
        record(model)
    system.close()
    assert calls(system.settings) == [
        {"cost_state": "priced", "cost_nano": 75_000_000},
        {"cost_state": "priced", "cost_nano": 75_000_000},
        {"cost_state": "priced", "cost_nano": 2_500_000},
        {"cost_state": "priced", "cost_nano": 75_000_000},
        {"cost_state": "unpriced", "cost_nano": None},
    ]


def test_a_call_that_ends_in_another_process_is_still_priced(tmp_path: Path) -> None:
    """The drain asks the store what a call was when its start came long before."""
    system = compose.configure(home=tmp_path, drain=False)
    with run("desk"), step(LLMCall("gpt-4", provider="openai")) as call:
        first = system.open_drain()
        assert first.elected()
        first.round()
        first.close()
        call.usage = Usage(1500, 0, 0, 500, basis="provider")
    second = system.open_drain()
    assert second.elected()
    second.round()
    second.close()
    system.close()
    assert calls(system.settings) == [{"cost_state": "priced", "cost_nano": 75_000_000}]


def test_a_price_file_that_was_named_must_exist(tmp_path: Path) -> None:
    """The default one may be missing."""
    with pytest.raises(SettingsError, match="a TOML file that exists"):
        compose.price_book_for(Settings(home=tmp_path, prices=tmp_path / "none.toml"))
    assert compose.price_book_for(Settings(home=tmp_path)) is not None


def test_a_limit_on_money_holds_when_prices_cannot_be_read(alone: None, tmp_path: Path) -> None:
    """No price is known then, so a limit that somebody stated refuses, and says why."""
    (tmp_path / "prices.toml").write_bytes(b"\xff")
    compose.configure(home=tmp_path, drain=False)
    with (
        pytest.raises(LimitExceeded, match="a TOML file that can be read"),
        run("desk", limits="$1"),
        step(LLMCall("gpt-4o", provider="openai", max_output=5)),
    ):
        raise AssertionError("it must not be sent")


@pytest.mark.parametrize(
    ("store", "folder"),
    [
        ("", "/h/tachograph.db.journals"),
        ("sqlite:/x/y.db", "/x/y.db.journals"),
        ("sqlite:////x/y.db", "/x/y.db.journals"),
        ("/x/y.db", "/x/y.db.journals"),
    ],
)
def test_journals_lie_beside_their_store(store: str, folder: str) -> None:
    """Every process of a store finds them there, whatever its own data folder."""
    assert journals_folder(Settings(home=Path("/h"), store=store)) == Path(folder)


def test_journals_of_different_servers_and_keys_never_lie_together() -> None:
    """Each server and each key has a folder of its own, however alike they look; none shows the key."""
    homes = [
        Settings(home=Path("/h"), store=store, key=key)
        for store, key in (
            ("https://host/team-a", "tg_1_x"),
            ("https://host/team.a", "tg_1_x"),
            ("https://host/team-a", "tg_2_y"),
            (f"https://host/{'a' * 90}b", "tg_1_x"),
            (f"https://host/{'a' * 90}c", "tg_1_x"),
        )
    ]
    folders = [str(journals_folder(settings)) for settings in homes]
    assert len(set(folders)) == len(folders)
    assert [folder for folder in folders if "tg_" in folder] == []


def test_configuring_again_closes_what_recorded_before(tmp_path: Path) -> None:
    """Both stores have their runs."""
    first = compose.configure(home=tmp_path / "one")
    record("gpt-4")
    second = compose.configure(home=tmp_path / "two")
    record("gpt-4")
    second.close()
    assert [len(calls(system.settings)) for system in (first, second)] == [1, 1]


def test_the_hash_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Level `hashed` compares across processes of one home."""
    settings = Settings(home=tmp_path, capture="hashed")
    names = [compose.scrubber_for(settings).capture('"x"').hash for _ in range(2)]
    assert (names[0] == names[1], (tmp_path / "hash.key").stat().st_mode & 0o777) == (True, 0o600)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process in which nothing has been configured yet; what the test makes is closed."""
    monkeypatch.setattr(compose, "_system", None)
    monkeypatch.setattr(compose, "_others", {})
    yield
    for system in compose._systems():
        system.close()


def test_there_is_one_system_a_store(alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However its URL is spelled, whether it is the process's own or not."""
    monkeypatch.chdir(tmp_path)
    one = compose.system_for("sqlite:x.db")
    assert compose.system_for(f"sqlite:{tmp_path}/x.db") is compose.system_for("./x.db") is one
    assert compose.current() is not one
    assert compose.system_for(compose.current().settings.store_url) is compose.current()
    assert compose.system_for(Settings().store_url) is compose.current()


def test_the_process_s_own_store_may_have_been_asked_for_before(
    alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its system becomes the process's own, and what it records goes on."""
    monkeypatch.setenv("TACHOGRAPH_STORE", f"sqlite:{tmp_path / 'x.db'}")
    monkeypatch.setattr(compose, "_others", {f"sqlite:{tmp_path}/x.db": (made := compose.System(read()))})
    assert compose.current() is compose.system_for(f"sqlite:{tmp_path}/x.db") is made


def test_a_system_beside_the_own_has_its_settings(alone: None, tmp_path: Path) -> None:
    """Capture, redaction, guard and clock, all but the store; they stay when the own is made by itself."""
    guard, clock = AdmitAll(), tick_clock()
    own = compose.configure(home=tmp_path, capture="none", guard=guard, clock=clock)
    beside = compose.system_for(f"sqlite:{tmp_path / 'x.db'}")
    assert beside.settings == replace(own.settings, store=f"sqlite:{tmp_path / 'x.db'}")
    assert (beside.recorder.guard, beside.recorder.clock) == (guard, clock)


def test_configuring_again_closes_those_beside(alone: None, tmp_path: Path) -> None:
    """Their runs end, and the next that is recorded there has the new settings."""
    url = f"sqlite:{tmp_path / 'x.db'}"
    beside = compose.system_for(url)
    inner = run("beside")
    inner.source = lambda: beside.recorder
    inner.enter(None)
    compose.configure(home=tmp_path, capture="none")
    inner.leave()
    assert compose.system_for(url) is not beside
    assert compose.system_for(url).settings.capture == "none"
    store = compose.open_store(beside.settings)
    rows = store.find(Query("runs", columns=("name", "status"))).rows
    store.close()
    assert [dict(row) for row in rows] == [{"name": "beside", "status": "abandoned"}]


def test_a_url_that_cannot_be_used_makes_no_system(alone: None) -> None:
    """It is refused, as often as it is asked for."""
    for _ in range(2):
        with pytest.raises(SettingsError, match="ftp"):
            compose.system_for("ftp:nowhere")
    assert compose._systems() == []


def test_a_system_knows_prices_for_who_asks(alone: None, tmp_path: Path) -> None:
    """The list that its drain prices by, loaded when it is first wanted."""
    system = compose.configure(home=tmp_path, token_prices={"stated": {"input": 0.03, "output": 0.06}})
    found = price(system.prices, "", "stated", Usage(1500, output=500, basis="provider"), 0)
    assert (found.total, system.prices is system.prices) == (75_000_000, True)


def test_the_ledger_lies_beside_the_store_and_is_opened_when_it_is_needed(tmp_path: Path) -> None:
    """A run without a limit on its session opens none; one with such a limit is counted for the next process, too."""
    url = f"sqlite:{tmp_path / 'agents.db'}"
    system = compose.configure(home=tmp_path, store=url, limits="30 runs/session")
    with run("alone"):
        pass
    assert "ledger" not in vars(system)
    with run("desk", session="s"):
        pass
    system.close()
    assert (tmp_path / "agents.db.ledger").exists()
    system = compose.configure(home=tmp_path, store=url, limits="1 runs/session")
    with pytest.raises(LimitExceeded, match="session limit on runs: 1 used"), run("desk", session="s"):
        raise AssertionError("it must not begin")
    system.close()


def test_limits_on_money_go_by_ones_own_prices(tmp_path: Path) -> None:
    """A model of the user's own is bounded by what the user says it costs; prices that cannot be read refuse."""
    system = compose.configure(home=tmp_path, million_prices={"mine": {"input": 0, "output": 1_000_000}}, drain=False)
    with run("desk", limits="$5"):
        assert step(LLMCall("mine")).room() == 5
    system.close()
    broken = tmp_path / "broken.toml"
    broken.write_text("[[price]]\nmodel = 3\n")
    system = compose.configure(home=tmp_path, prices=broken, drain=False)
    with pytest.raises(LimitExceeded, match="an entry with a model"), run("desk", limits="$5"), step(LLMCall("mine")):
        raise AssertionError("it must not leave")
    assert system.recorder.health.faults == {}
    system.close()


def test_sessions_stand_beside_the_store_and_their_owner_is_seen_to_live(tmp_path: Path) -> None:
    """Before anything is recorded; a reader that leads no session sees the same, until the owner is gone."""
    settings = Settings(home=tmp_path, store=f"sqlite:{tmp_path}/agents.db")
    system = System(settings)
    found = system.heads.acquire(("t", "s"), SYSTEM.now(), 10**12)
    assert isinstance(found, Taken)
    lease = found.head.lease
    assert lease is not None
    assert (lease.holder, (tmp_path / "agents.db.journals" / lease.owner).is_dir()) == (
        f"process {os.getpid()} on {socket.gethostname()}", True
    )  # fmt: skip
    reader = heads_of(settings)
    assert reader.holds(found.head, SYSTEM.now()) == lease
    system.close()
    assert "heads" not in vars(system)
    system.recorder.close()
    assert reader.holds(found.head, SYSTEM.now()) is None


def test_the_system_that_records_is_known_by_its_recorder(tmp_path: Path) -> None:
    """Where a test captures, that is another one than the process's own."""
    system = System(Settings(home=tmp_path))
    with capture():
        assert recording() is not current()
    before = scope.use(lambda: system.recorder)
    assert recording() is system
    scope.use(lambda: Recorder(lambda: system.recorder.journal, system.scrubber))
    assert recording() is current()
    scope.use(before)


def test_a_block_may_record_with_a_system_of_its_own(tmp_path: Path) -> None:
    """What the block records goes there, and who asks what records just now finds it; afterwards all is as before."""
    system = System(Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'other.db'}"))
    before = scope.recorder()
    with compose.using(system) as found:
        assert (found, compose.recording(), scope.recorder()) == (system, system, system.recorder)
    assert scope.recorder() is before
    with pytest.raises(KeyError), compose.using(system):
        raise KeyError
    assert scope.recorder() is before
    system.close()
