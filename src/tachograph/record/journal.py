"""The journal: a process's own append-only file of events, safe against `kill -9`.

A journal is a folder with an owner lock and numbered segments. A segment is preallocated and memory-mapped: appending
copies bytes into the page cache without a system call, so no other thread can take the interpreter meanwhile, and what
was copied survives the death of the process. Space is allocated before it is written, so a full disk is an error
here and never a SIGBUS later. Records carry a magic number, a length and a CRC-32; damage is skipped to the next whole
record.

    header (512 bytes): magic, schema version, whole (1 when the writer has left it), segment number, created,
                        heartbeat, owner as JSON
    record: magic u32 · length u32 · crc32 u32 · payload (events written together, MessagePack)
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tachograph.events.codec import SCHEMA_VERSION

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

MAGIC = b"TACHOJ01"
HEADER_BYTES = 512
RECORD_MAGIC = 0x31525FA7
_FIXED = struct.Struct("<8sHHIQQI")
_RECORD = struct.Struct("<III")
_RECORD_BYTES = _RECORD.size
_put_record = _RECORD.pack_into
_LEFT = 1
"""Most segments that stay mapped for the worker to close: it may be busy with a store that does not answer."""
_WHOLE_AT = 10
_HEARTBEAT_AT = 24
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of madvise(2), which the mmap module does not name."""
_TOUCH_BYTES = 256 * 1024
"""Touched at a time: short enough that no other thread waits for the interpreter noticeably."""
OWNER_LOCK = "owner.lock"


_OWN: set[Path] = set()
"""Journals of this process: asking for their lock would let go of it."""


_HELD: set[Path] = set()
"""Lock files that this process holds, for the same reason."""


class Owner(msgspec.Struct, frozen=True):
    """Whose journal it is. Everything a later process needs to finish what this one began."""

    journal: str
    pid: int
    host: str
    store: str
    started_at: int
    version: str = ""


class Header(NamedTuple):
    """A segment's header."""

    schema: int
    whole: bool
    """The writer has gone on to another segment: everything it will ever hold is there."""
    segment: int
    created_at: int
    heartbeat: int
    owner: Owner


class Record(NamedTuple):
    """A whole record: its payload, and the offset behind it."""

    payload: bytes
    end: int


class Damage(NamedTuple):
    """Bytes that are no record, from `start` to `end`."""

    start: int
    end: int


def segment_path(folder: Path, number: int) -> Path:
    """Path of a segment."""
    return folder / f"{number:08d}.seg"


def segments(folder: Path) -> list[int]:
    """Numbers of the segments that exist, ascending."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(entry.name[:-4]) for entry in os.scandir(folder) if entry.name.endswith(".seg"))
    return []


class Segment:
    """One preallocated, mapped file that records are copied into. Not thread-safe: the recorder's lock guards it."""

    def __init__(self, folder: Path, number: int, size: int, owner: Owner, now: int) -> None:
        """Create it. Raises OSError when the folder cannot be written or the disk has no room."""
        self.number, self.size = number, size
        self.path = segment_path(folder, number)
        blob = msgspec.json.encode(owner)
        if len(blob) > HEADER_BYTES - _FIXED.size:
            blob = msgspec.json.encode(msgspec.structs.replace(owner, store="", host=""))
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _allocate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        except BaseException:
            self.path.unlink()
            raise
        finally:
            os.close(descriptor)
        self._map[:HEADER_BYTES] = (_FIXED.pack(MAGIC, SCHEMA_VERSION, 0, number, now, now, len(blob)) + blob).ljust(
            HEADER_BYTES, b"\0"
        )
        self.position = HEADER_BYTES

    def append(self, payload: bytes) -> bool:
        """Copy one record in; False when it has no room."""
        start, length = self.position, len(payload)
        body = start + _RECORD_BYTES
        end = body + length
        if end > self.size:
            return False
        # The header goes last: a reader that sees it sees the whole payload.
        self._map[body:end] = payload
        _put_record(self._map, start, RECORD_MAGIC, length, zlib.crc32(payload))
        self.position = end
        return True

    def touch(self) -> None:
        """Have the system map every page for writing now: a first write costs ten times a later one. Linux only."""
        if hasattr(mmap, "MADV_SEQUENTIAL") and sys.platform == "linux":
            for start in range(0, self.size, _TOUCH_BYTES):
                # Kernels before 5.14 do not know it, and the segment may have been closed meanwhile: nothing is lost.
                with contextlib.suppress(OSError, ValueError):
                    self._map.madvise(_POPULATE_WRITE, start, min(_TOUCH_BYTES, self.size - start))

    def finish(self) -> None:
        """Say that nothing more will be written here."""
        self._map[_WHOLE_AT] = 1

    def beat(self, now: int) -> None:
        """Leave a sign of life."""
        self._map[_HEARTBEAT_AT : _HEARTBEAT_AT + 8] = struct.pack("<Q", now)

    def sync(self) -> None:
        """Force it to disk."""
        self._map.flush()

    def close(self, *, truncate: bool = True) -> None:
        """Unmap it, and give back the space that was not used."""
        self._map.close()
        if truncate:
            with contextlib.suppress(OSError):
                os.truncate(self.path, self.position)


class Journal:
    """This process's journal. Opened by the first append; not thread-safe by itself."""

    def __init__(self, folder: Path, owner: Owner, segment_bytes: int, cap_bytes: int) -> None:
        self.folder, self.owner = folder, owner
        self._segment_bytes, self._cap = segment_bytes, cap_bytes
        self._segment: Segment | None = None
        self._spare: Segment | None = None
        self._lock_file: int | None = None
        self._left: list[Segment] = []
        self._closed_bytes: dict[int, int] = {}
        self._number = 0
        self.pressed = False
        """Whether more than three quarters of the cap is taken: time to shed payload."""
        self._blocked: OSError | None = None
        self._retry_at = 0

    def append(self, payload: bytes, now: int) -> None:
        """Add one record. Raises OSError (no room, no folder, over the cap); then nothing was written."""
        segment = self._segment
        if segment is None or not segment.append(payload):
            self._turn(len(payload), now).append(payload)

    def claim(self, now: int) -> None:
        """Be there before the first record, so that a run can belong to it. Raises OSError."""
        if self._segment is None:
            self._turn(0, now)

    def held(self) -> int:
        """Bytes that wait to be drained, all segments together."""
        return sum(self._closed_bytes.values()) + (self._segment.position if self._segment else 0)

    def tidy(self) -> Sequence[Segment]:
        """Segments that were left and can be closed, off the hot path; each is handed out once."""
        left, self._left = self._left, []
        return left

    def prepare(self, now: int) -> Segment | None:
        """Create the next segment ahead of time, off the hot path; None when it is not needed. Raises OSError."""
        segment = self._segment
        if segment is None or self._spare is not None or self.held() + self._segment_bytes > self._cap:
            return None
        self._spare = Segment(self.folder, self._number + 1, self._segment_bytes, self.owner, now)
        return self._spare

    def beat(self, now: int) -> None:
        """Leave a sign of life in the current segment."""
        if self._segment is not None:
            self._segment.beat(now)

    def sync(self) -> None:
        """Force the current segment to disk."""
        if self._segment is not None:
            self._segment.sync()

    def recount(self) -> None:
        """See which segments are gone from disk: they are in the store, whoever drained them."""
        for number in [known for known in self._closed_bytes if not segment_path(self.folder, known).exists()]:
            del self._closed_bytes[number]
        self.pressed = self.held() > self._cap * 3 // 4

    def close(self) -> None:
        """Unmap and let go of the lock. The files stay for the drain."""
        for segment in (*self._left, self._segment, self._spare):
            if segment is not None:
                segment.close()
        self._segment = self._spare = None
        self._left = []
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
            _OWN.discard(self.folder)

    def forsake(self) -> None:
        """After a fork, in the child: the files are the parent's; unmap without touching them."""
        for segment in (*self._left, self._segment, self._spare):
            if segment is not None:
                segment.close(truncate=False)
        self._segment = self._spare = None
        self._left = []
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        _OWN.clear()

    @property
    def current(self) -> int:
        """Number of the segment that is being written; 0 before the first append."""
        return self._number

    def _turn(self, length: int, now: int) -> Segment:
        # A full disk is asked again ten times a second, not at every event.
        if self._blocked is not None and abs(now - self._retry_at) < 100_000_000:
            raise self._blocked
        try:
            segment = self._next(length, now)
        except OSError as problem:
            self._blocked, self._retry_at = problem, now
            raise
        self._blocked = None
        return segment

    def _next(self, length: int, now: int) -> Segment:
        need = HEADER_BYTES + _RECORD_BYTES + length
        size = max(self._segment_bytes, need)
        if self.held() + size > self._cap + self._segment_bytes:
            raise OSError(28, f"the journal holds {self.held()} bytes, its cap is {self._cap}", str(self.folder))
        if self._lock_file is None:
            self._lock()
        spare, self._spare = self._spare, None
        if spare is not None and not (HEADER_BYTES + _RECORD_BYTES + length <= spare.size):
            spare.close()
            spare.path.unlink()
            spare = None
        segment = spare or Segment(self.folder, self._number + 1, size, self.owner, now)
        if self._segment is not None:
            self._closed_bytes[self._segment.number] = self._segment.position
            self._segment.finish()
            self._left.append(self._segment)
            if len(self._left) > _LEFT:
                self._left.pop(0).close()
        self._segment, self._number = segment, segment.number
        self.pressed = self.held() > self._cap * 3 // 4
        return segment

    def _lock(self) -> None:
        # Locked before it has its name: a drain that sees the folder must never take its owner for dead.
        unnamed = self.folder.with_name(f".{self.folder.name}")
        unnamed.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unnamed / OWNER_LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            lock(descriptor)
            unnamed.rename(self.folder)
        except OSError:
            os.close(descriptor)
            raise
        self._lock_file = descriptor
        _OWN.add(self.folder)


def owner_lives(folder: Path) -> bool:
    """Whether a journal's owner still holds its lock."""
    if folder in _OWN:
        return True  # to open and close the file would drop the lock
    try:
        descriptor = os.open(folder / OWNER_LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # too many open files, or another user's: nothing to bury
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


def read_header(path: Path) -> Header | None:
    """A segment's header; None when the file is not one."""
    with contextlib.suppress(OSError, struct.error, msgspec.DecodeError, ValueError), path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
        magic, schema, whole, number, created, heartbeat, length = _FIXED.unpack_from(raw)
        if magic == MAGIC:
            owner = msgspec.json.decode(raw[_FIXED.size : _FIXED.size + length], type=Owner)
            return Header(schema, bool(whole), number, created, heartbeat, owner)
    return None


def read_records(data: bytes, offset: int = 0, *, base: int = 0, final: bool = True) -> Iterator[Record | Damage]:
    """Records from `offset` on, with the damage between them. `data` is the segment from its byte `base` on.

    With `final` False the end of the data is where a living owner is writing: what is incomplete there is left alone.
    """
    for item in _records(data, max(offset, HEADER_BYTES) - base, final=final):
        yield (
            item._replace(end=item.end + base)
            if isinstance(item, Record)
            else Damage(item.start + base, item.end + base)
        )


def _records(data: bytes, offset: int, *, final: bool) -> Iterator[Record | Damage]:
    while True:
        record = _record_at(data, offset)
        if record is not None:
            yield record
            offset = record.end
            continue
        unwritten = data[offset : offset + 4] in (b"", b"\0\0\0\0"[: len(data) - offset])
        if unwritten and not final:
            return
        found = _resync(data, offset + 1)
        if found is None:
            # A payload without its header was never acknowledged: the owner died while copying it.
            if final and not unwritten:
                yield Damage(offset, len(data))
            return
        yield Damage(offset, found)
        offset = found


def hold(path: Path) -> int | None:
    """Take the lock of a file, which is made if need be; None when somebody has it, this process included.

    Give the descriptor to `let_go`. Raises OSError.
    """
    if path in _HELD:
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not lock(descriptor):
        os.close(descriptor)
        return None
    _HELD.add(path)
    return descriptor


def let_go(path: Path, descriptor: int) -> None:
    """Let somebody else have the lock. In a forked child this leaves the parent's alone."""
    _HELD.discard(path)
    os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock of a file; of one that was never made nobody does."""
    if path in _HELD:
        return True  # to open and close the file would drop the lock
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Take an exclusive lock on a file for this process, without waiting; whether it was free.

    POSIX record locks belong to the process: they are not inherited by a fork and fall with the process, however it
    dies. They are also lost when any descriptor of the file is closed, so each lock has a file of its own.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _allocate(descriptor: int, size: int) -> None:
    reserve: Any = getattr(os, "posix_fallocate", None)
    if reserve is not None:
        reserve(descriptor, 0, size)
        return
    block = bytes(1 << 20)
    for start in range(0, size, len(block)):
        os.pwrite(descriptor, block[: size - start], start)


def _record_at(data: bytes, offset: int) -> Record | None:
    body = offset + _RECORD_BYTES
    if body > len(data):
        return None
    magic, length, checksum = _RECORD.unpack_from(data, offset)
    if magic != RECORD_MAGIC or body + length > len(data):
        return None
    payload = data[body : body + length]
    return Record(payload, body + length) if zlib.crc32(payload) == checksum else None


def _resync(data: bytes, offset: int) -> int | None:
    needle = struct.pack("<I", RECORD_MAGIC)
    while (found := data.find(needle, offset)) != -1:
        if _record_at(data, found) is not None:
            return found
        offset = found + 1
    return None
