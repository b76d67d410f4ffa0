from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.queries.answers.audit import AuditAsked, audit
from tachograph.server.callers.keys import find
from tachograph.store.open import open_store
from tests.cli.conftest import Run, objects


def test_a_key_is_shown_once(cli: Run, tmp_path: Path) -> None:
    """`keys add` prints the key alone on stdout, so that a script can take it; `keys ls` never shows it."""
    file = tmp_path / "a.db"
    made = cli("keys", "add", "ci", "--scope", "write", "--tenant", "blue", store=file)
    text = made.stdout.strip()
    store = open_store(f"sqlite:{file}")
    key = find(store, text, 1 << 62)
    store.close()
    assert key is not None
    assert (key.name, key.scope, key.tenant) == ("ci", "write", "blue")
    assert "not shown again" in made.stderr
    listed = cli("keys", "ls", store=file).stdout
    assert (key.id in listed, "good" in listed, text.rpartition("_")[2] in listed) == (True, True, False)


def test_a_revoked_key_is_listed_as_such(cli: Run, tmp_path: Path) -> None:
    """Revoking names the key by its id; it opens nothing any more, and the list says since when."""
    file = tmp_path / "a.db"
    [made] = objects(cli("keys", "add", "ci", "--json", store=file).stdout)
    assert cli("keys", "revoke", made["id"], store=file).stdout == "ci: revoked.\n"
    [listed] = objects(cli("keys", "ls", "--json", store=file).stdout)
    assert [key["id"] for key in listed["keys"] if key["revoked_at"]] == [made["id"]]
    assert "revoked" in cli("keys", "ls", store=file).stdout
    store = open_store(f"sqlite:{file}")
    assert find(store, made["text"], 1) is None
    store.close()


def test_what_is_done_to_keys_is_in_the_audit(cli: Run, tmp_path: Path) -> None:
    """A key that is made or revoked leaves an entry with the tenant whose data it opens, and without its secret."""
    file = tmp_path / "a.db"
    [made] = objects(cli("keys", "add", "ci", "--tenant", "blue", "--json", store=file).stdout)
    cli("keys", "revoke", made["id"], store=file)
    store = open_store(f"sqlite:{file}")
    entries = audit(store, AuditAsked()).entries
    store.close()
    assert [(entry.action, entry.tenant) for entry in entries] == [("key_revoked", "blue"), ("key_added", "blue")]
    assert made["text"].rpartition("_")[2] not in repr(entries)


def test_keys_that_expire_are_told_apart(cli: Run, tmp_path: Path) -> None:
    """A key may end by itself: at a time that is yet to come."""
    file = tmp_path / "a.db"
    [made] = objects(cli("keys", "add", "ci", "--expires", "2200-01-01", "--json", store=file).stdout)
    assert made["expires_at"] == 7_258_118_400_000_000_000
    assert "good until" in cli("keys", "ls", store=file).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "ci", "--scope", "root"), "one of read, write, admin"),
        (("add", "ci", "--expires", "2001-01-01"), "yet to come"),
        (("add", " "), "name=' '"),
        (("revoke", "nobody"), "no access key has the id 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said(cli: Run, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """A scope there is not, an end that is past, an empty name, an id nobody has: one line, and a code of failure."""
    done = cli("keys", *words, store=tmp_path / "a.db")
    assert (done.exit_code in (2, 3), said in done.stderr) == (True, True)


def test_without_keys_the_list_says_how_to_make_one(cli: Run, tmp_path: Path) -> None:
    """An empty list names the command."""
    assert cli("keys", "ls", store=tmp_path / "a.db").stdout == "No keys yet: tachograph keys add NAME.\n"
