"""The journal: what was appended is read back, whatever happens to the file afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.record import journal as journals
from tachograph.record.journal import Damage, Journal, Owner, Record

OWNER = Owner("01a1fcce-088b-7f7a-91c0-b26300000000", 1, "host", "memory:", 1)
MIB = 1024 * 1024


def opened(folder: Path, *, segment: int = 64 * 1024, cap: int = MIB) -> Journal:
    """A journal in a fresh folder."""
    return Journal(folder / "j", OWNER, segment, cap)


def payloads(folder: Path, *, final: bool = True) -> list[bytes]:
    """All whole records of a journal, in order."""
    found: list[bytes] = []
    for number in journals.segments(folder):
        data = journals.segment_path(folder, number).read_bytes()
        found.extend(item.payload for item in journals.read_records(data, final=final) if isinstance(item, Record))
    return found


def test_records_come_back_in_order_over_several_segments(tmp_path: Path) -> None:
    """What is appended is read back, across segment borders, while the journal is open and after it is closed."""
    journal = opened(tmp_path)
    said = [bytes([number % 256]) * (number * 37 % 5000) for number in range(200)]
    for payload in said:
        journal.append(payload, 7)
    assert payloads(journal.folder, final=False) == said
    journal.close()
    assert (payloads(journal.folder), len(journals.segments(journal.folder)) > 3) == (said, True)


def test_a_record_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    """No payload is refused for its size while the cap allows it."""
    journal = opened(tmp_path)
    journal.append(b"x" * 300_000, 7)
    journal.append(b"y", 7)
    journal.close()
    assert payloads(journal.folder) == [b"x" * 300_000, b"y"]


def test_a_full_journal_refuses_and_goes_on_when_drained(tmp_path: Path) -> None:
    """Over its cap an append raises and writes nothing; once segments are drained it takes records again."""
    journal = opened(tmp_path, cap=128 * 1024)
    for _ in range(18):
        journal.append(b"z" * 10_000, 7)
    with pytest.raises(OSError, match="cap is 131072"):
        journal.append(b"z" * 10_000, 7)
    assert (journal.pressed, len(payloads(journal.folder, final=False))) == (True, 18)
    for number in range(1, journal.current):
        journals.segment_path(journal.folder, number).unlink()
    journal.recount()
    journal.append(b"after", 10**12)
    assert payloads(journal.folder, final=False)[-1] == b"after"
    journal.close()


@given(st.lists(st.binary(max_size=300), min_size=3, max_size=12), st.data())
def test_damage_costs_only_the_records_it_touches(said: list[bytes], data: st.DataObject) -> None:
    """Flipping bytes of one record loses that record alone, and the damage is reported with its place."""
    records = [(len(p).to_bytes(4, "little"), p) for p in said]
    blob = bytearray(journals.HEADER_BYTES)
    places = []
    for _, payload in records:
        places.append(len(blob))
        blob += journals._RECORD.pack(journals.RECORD_MAGIC, len(payload), zlib.crc32(payload)) + payload
    victim = data.draw(st.integers(0, len(said) - 2))
    blob[places[victim] + 8] ^= 0xFF
    found = list(journals.read_records(bytes(blob)))
    assert [item.payload for item in found if isinstance(item, Record)] == said[:victim] + said[victim + 1 :]
    assert [(item.start, item.end) for item in found if isinstance(item, Damage)] == [
        (places[victim], places[victim + 1])
    ]


def test_an_unfinished_append_is_no_damage(tmp_path: Path) -> None:
    """A payload whose header was never written (the owner died in between) was not acknowledged and is not reported."""
    journal = opened(tmp_path)
    journal.append(b"one", 7)
    path, end = journals.segment_path(journal.folder, 1), journals.HEADER_BYTES + 12 + 3
    with path.open("r+b") as file:
        file.seek(end + 12)
        file.write(b"half a payload")
    assert list(journals.read_records(path.read_bytes())) == [Record(b"one", end)]
    journal.close()


def test_a_living_writer_is_never_ahead_of_its_header(tmp_path: Path) -> None:
    """Reading a segment that is being written stops quietly at its end."""
    journal = opened(tmp_path)
    journal.append(b"one", 7)
    data = journals.segment_path(journal.folder, 1).read_bytes()
    assert len(list(journals.read_records(data, final=False))) == 1
    journal.close()


def test_the_header_says_whose_it_is_and_when_it_last_lived(tmp_path: Path) -> None:
    """Owner, creation and heartbeat are readable by another process."""
    journal = opened(tmp_path)
    journal.append(b"one", 41)
    journal.beat(99)
    header = journals.read_header(journals.segment_path(journal.folder, 1))
    assert header == journals.Header(1, False, 1, 41, 99, OWNER)
    journal.close()


def test_a_segment_says_when_its_writer_has_left_it(tmp_path: Path) -> None:
    """Only then may a reader go on to the next one, which may exist long before it is used."""
    journal = opened(tmp_path)
    journal.append(b"x" * 60_000, 7)
    assert journal.prepare(7) is not None
    before = journals.read_header(journals.segment_path(journal.folder, 1))
    journal.append(b"y" * 60_000, 7)
    after = journals.read_header(journals.segment_path(journal.folder, 1))
    journal.close()
    assert ((before and before.whole), (after and after.whole), journals.segments(journal.folder)) == (
        False,
        True,
        [1, 2],
    )


def test_files_are_private(tmp_path: Path) -> None:
    """Journals may hold what is not redacted yet: folder 0700, files 0600."""
    journal = opened(tmp_path)
    journal.append(b"one", 7)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [journal.folder, *journal.folder.iterdir()]}
    journal.close()
    assert modes == {"j": 0o700, "owner.lock": 0o600, "00000001.seg": 0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX record locks")
def test_another_process_sees_whether_the_owner_lives(tmp_path: Path) -> None:
    """The owner's lock falls with its process, however that dies."""
    code = (
        "import sys, os; from pathlib import Path; from tachograph.record.journal import Journal, Owner\n"
        "j = Journal(Path(sys.argv[1]) / 'j', Owner('j', 1, 'h', 'm', 1), 65536, 1 << 20); j.append(b'x', 1)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        alive = journals.owner_lives(tmp_path / "j")
        child.kill()
        child.wait()
    assert (alive, journals.owner_lives(tmp_path / "j")) == (True, False)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_raises(tmp_path: Path) -> None:
    """Opening fails with the system's error; nothing is half made."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        opened(tmp_path).append(b"x", 1)


def test_a_blocked_journal_is_asked_again_later_not_at_every_event(tmp_path: Path) -> None:
    """After a failure the next tenth of a second fails fast; then it is tried again."""
    (tmp_path / "file").write_text("not a folder")
    journal = Journal(tmp_path / "file" / "j", OWNER, 65536, MIB)
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        journal.append(b"x", 1_000_000_000)
    (tmp_path / "file").unlink()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        journal.append(b"x", 1_050_000_000)
    journal.append(b"x", 1_200_000_000)
    assert payloads(journal.folder, final=False) == [b"x"]
    journal.close()


def test_a_journal_can_be_there_before_its_first_record(tmp_path: Path) -> None:
    """Named, locked, with a segment; the first record then goes into that."""
    journal = opened(tmp_path)
    journal.claim(7)
    assert journals.owner_lives(journal.folder)
    assert (journals.segments(journal.folder), payloads(journal.folder, final=False)) == ([1], [])
    journal.append(b"one", 8)
    journal.claim(9)
    assert (journals.segments(journal.folder), payloads(journal.folder, final=False)) == ([1], [b"one"])
    journal.close()
