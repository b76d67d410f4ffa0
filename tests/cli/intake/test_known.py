from __future__ import annotations

from pathlib import Path

from tachograph.cli.intake import known
from tachograph.cli.intake.files import File
from tachograph.cli.intake.known import Facts, Known
from tachograph.events.envelope import Event
from tachograph.events.note import Note
from tachograph.store.memory import MemoryStore
from tachograph.wire.sessions.draft import Delegation


def test_a_file_is_remembered_and_recalled() -> None:
    """What is put down of a file comes back, its facts apart from its fingerprint; the newest counts."""
    store = MemoryStore()
    file, other = File(Path("/a"), 10, 20), File(Path("/b"), 1, 2)
    facts = Facts({"run": "print"}, (Delegation("agent", "run", 3, "kind"),), roots=True)
    known.remember(store, file, b"old", Facts())
    known.remember(store, file, b"digest", facts)
    assert known.load(store, [file, other]) == {"/a": Known(10, 20, b"digest")}
    assert known.load_facts(store, [file, other]) == {"/a": facts}


def test_many_files_are_recalled_in_one_go() -> None:
    """There is no number of files at which a question becomes too long."""
    store = MemoryStore()
    files = [File(Path(f"/{number}"), number, 0) for number in range(1000)]
    for file in files:
        known.remember(store, file, b"", Facts())
    assert len(known.load(store, files)) == 1000


def test_sameness_is_size_and_time() -> None:
    """A file with another size or time is looked at again."""
    before = Known(10, 20, None)
    assert before.is_same(File(Path("/a"), 10, 20))
    assert not before.is_same(File(Path("/a"), 11, 20))
    assert not before.is_same(File(Path("/a"), 10, 21))


def test_fingerprints_tell_events_apart() -> None:
    """Equal events have one fingerprint, and the least difference another."""
    one = Event("run", 0, 1, 1, 0, Note(name="a"))
    assert known.fingerprint([one]) == known.fingerprint((one,))
    assert known.fingerprint([one]) != known.fingerprint([Event("run", 0, 1, 1, 0, Note(name="b"))])
    assert known.digest_of(b"a") != known.digest_of(b"b")
