from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from tachograph.cli.intake.files import File, find, is_log, read
from tachograph.errors import ImportFailed, NotFound


def test_folders_are_searched_and_files_taken_as_named(tmp_path: Path) -> None:
    """Below a folder only names of logs count; a file that is named itself may be called anything; each comes once."""
    wanted = ["a.json", "b/c.jsonl", "b/d.JSONL.GZ", "e.traj", "f.ndjson.zst"]
    for name in (*wanted, "notes.md", "b/node_modules/x.json", ".git/x.json", "g.json.zip"):
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    extra = tmp_path / "odd.log"
    extra.write_text("[]")
    found = list(find([tmp_path / "logs", extra, tmp_path / "logs" / "a.json"]))
    assert {str(file.path.relative_to(tmp_path)) for file in found} == {f"logs/{name}" for name in wanted} | {"odd.log"}
    assert len(found) == len(wanted) + 1
    assert found[-1] == File(extra, 2, extra.stat().st_mtime_ns)


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A name that names nothing is refused."""
    with pytest.raises(NotFound):
        list(find([tmp_path / "nothing"]))


@pytest.mark.parametrize(
    ("name", "expected"), [("x.json.gz", True), ("x.zst", False), ("x.py", False), ("X.JSONL", True)]
)
def test_logs_are_known_by_their_names(name: str, *, expected: bool) -> None:
    """Packed or not, it is the name inside that counts."""
    assert is_log(name) is expected


def test_packing_is_told_by_the_bytes(tmp_path: Path) -> None:
    """Gzip and zstd, several frames of it too, are unpacked whatever the file is called; other bytes stay."""
    text = b'{"role":"user"}\n' * 1000
    frames = zstandard.compress(text[:8000]) + zstandard.compress(text[8000:])
    packed = {"a.json": gzip.compress(text), "b": frames, "c.gz": text, "d.zst": b""}
    for name, data in packed.items():
        (tmp_path / name).write_bytes(data)
    assert [read(tmp_path / name) for name in packed] == [text, text, text, b""]


def test_a_file_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    """A packed file whose end is missing, or that is gone, cannot be read, and the error names it."""
    for name, data in (("a.gz", gzip.compress(b"x" * 5000)[:-8]), ("b.zst", zstandard.compress(b"y" * 5000)[:9])):
        (tmp_path / name).write_bytes(data)
    for name in ("a.gz", "b.zst", "gone"):
        with pytest.raises(ImportFailed) as caught:
            read(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)
