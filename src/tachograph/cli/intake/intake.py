"""The import itself: file by file, run by run, through the same gate as everything else.

Readers make whole runs of a file; runs that are stored as they are stay; the others are admitted (redacted, priced,
their content named by hash) and stored in batches, in place of what was there of them. A file is remembered once all
its runs are stored, so that an import that is broken off goes on where it was.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from tachograph.cli.intake import exported, known
from tachograph.cli.intake.files import File, read
from tachograph.cli.intake.known import Facts, Known, fingerprint
from tachograph.cli.intake.report import Report
from tachograph.errors import ImportFailed
from tachograph.events.envelope import Event
from tachograph.events.run import RunStarted
from tachograph.fold.totals import fold
from tachograph.record.admit import Admitter
from tachograph.store.ports import Store
from tachograph.wire.lines import split
from tachograph.wire.sessions import messages
from tachograph.wire.sessions.detect import PLACES, READERS, format_of
from tachograph.wire.sessions.draft import Delegation, Origin, Problem, Reader, Recorded

AUTO = "auto"
FORMATS = (AUTO, *READERS, exported.FORMAT)
"""What `--format` may say."""

BATCH_EVENTS = 4_000
LATER = tuple(place.later for place in PLACES if place.later)
"""Names of logs that are read after all others: sub-agents', which others name."""

Lines = Sequence[tuple[int, bytes]]
Step = Callable[[File], None]


class Intake:
    """One import into one store."""

    def __init__(
        self, store: Store, notes: known.Notebook, admitter: Admitter, *, kind: str = AUTO, again: bool = False
    ) -> None:
        """`kind` is one of FORMATS; `again` reads files that have not changed, too."""
        self._store, self._notes, self._admitter = store, notes, admitter
        self._kind, self._again = kind, again
        self._known: dict[str, Known] = {}
        self._facts: dict[str, Facts] = {}
        self._parents: dict[str, list[Delegation]] = {}
        self._news: set[str] = set()
        self._waiting: list[Event] = []
        self._runs_waiting: set[str] = set()
        self._replace: set[str] = set()
        self._done: list[tuple[File, bytes, Facts]] = []
        self.report = Report()

    def take(
        self, files: Iterable[File], named: frozenset[str] = frozenset(), step: Step = lambda file: None
    ) -> Report:
        """Import them. `named` are keys of files that were asked for by name; `step` is called after each file.

        Raises StoreError; what cannot be read is in the report.
        """
        every = sorted(files, key=lambda file: (_is_later(file), file.key))
        self._known = known.load(self._store, every)
        changed = [file for file in every if self._again or not self._looks_known(file)]
        if changed:
            self._recall(every)
        for file in changed:
            self._file(file, named=file.key in named)
            step(file)
        keys = {file.key for file in changed}
        for file in (file for file in every if file.key not in keys):
            if self._has_news(file):
                self._file(file, named=False, again=True)
            else:
                self.report.unchanged += 1
            step(file)
        self._flush()
        return self.report

    def _recall(self, files: Iterable[File]) -> None:
        """What these files held, and which sub-agents they named."""
        self._facts = known.load_facts(self._store, files)
        for facts in self._facts.values():
            self._learn(facts.delegations)
        self._news.clear()

    def _looks_known(self, file: File) -> bool:
        before = self._known.get(file.key)
        return before is not None and before.is_same(file)

    def _learn(self, delegations: Iterable[Delegation]) -> None:
        for one in delegations:
            links = self._parents.setdefault(one.agent, [])
            if one not in links:
                links.append(one)
                self._news.add(one.agent.rpartition("/")[2])

    def _has_news(self, file: File) -> bool:
        """Whether a sub-agent's log that stood alone so far is named by a log that was read just now."""
        facts = self._facts.get(file.key)
        return facts is not None and facts.roots and any(agent in file.path.name for agent in self._news)

    # ---- one file -------------------------------------------------------------------------------------------------

    def _file(self, file: File, *, named: bool, again: bool = False) -> None:
        try:
            data = read(file.path)
        except ImportFailed as problem:
            self.report.trouble(file.path, None, problem.reason)
            return
        digest, before = known.digest_of(data), self._known.get(file.key)
        if before is not None and before.digest == digest and not (self._again or again):
            self.report.unchanged += 1
            known.remember(self._notes, file, digest, self._facts.get(file.key, Facts()))
            return
        lines = list(split(data))
        reader = self._reader(lines)
        if reader is None:
            self._strange(file, named=named)
            return
        troubles = self.report.problems
        facts = self._runs(file, reader, lines)
        if not (facts.runs or named) and self._kind == AUTO and reader is READERS[messages.FORMAT]:
            # Any JSON with a field called messages looks like a list of them from outside.
            self.report.forget(troubles)
            self.report.other += 1
            return
        self.report.files += 1
        self.report.bytes += len(data)
        if facts.whole:
            self._done.append((file, digest, facts))
        if len(self._waiting) >= BATCH_EVENTS:
            self._flush()

    def _reader(self, lines: Lines) -> Reader | None:
        name = self._kind
        if name == AUTO:
            records = [line for _, line in lines[:50]]
            name = format_of(records) or (exported.FORMAT if any(map(exported.is_event, records)) else "")
        return exported.read if name == exported.FORMAT else READERS.get(name)

    def _strange(self, file: File, *, named: bool) -> None:
        if named:
            self.report.trouble(
                file.path, None, f"no conversation in a format that is known ({', '.join(FORMATS[1:])})"
            )
        else:
            self.report.other += 1

    def _runs(self, file: File, reader: Reader, lines: Lines) -> Facts:
        """Take in the runs of a file; what is remembered of them."""
        before = self._facts.get(file.key, Facts())
        prints: dict[str, str] = {}
        delegations: list[Delegation] = []
        roots = False
        tripped: list[Exception] = []
        for record in self._records(file, reader, lines, tripped):
            print_ = prints[record.run] = fingerprint(record.events)
            delegations.extend(record.delegations)
            self._learn(record.delegations)
            start = record.events[0].body
            roots = roots or not (isinstance(start, RunStarted) and start.parent_run)
            self._run(record, same=before.runs.get(record.run) == print_)
        return Facts(prints, tuple(delegations), roots, not tripped)

    def _records(self, file: File, reader: Reader, lines: Lines, tripped: list[Exception]) -> Iterator[Recorded]:
        origin = Origin(source=file.path.name, at=file.mtime_ns, key=file.key, parents=self._parents)
        try:
            for found in reader(lines, origin):
                if isinstance(found, Problem):
                    self.report.trouble(file.path, found.line, found.reason)
                elif found.events:
                    yield found
        except Exception as problem:  # noqa: BLE001 - one file that trips a reader must not keep the others out
            self.report.trouble(file.path, None, f"the reader gave up: {problem!r}")
            tripped.append(problem)

    # ---- one run --------------------------------------------------------------------------------------------------

    def _run(self, record: Recorded, *, same: bool) -> None:
        stored = self._store.next_seq(record.run)
        if same and stored:
            self.report.same += 1
            return
        if record.run in self._runs_waiting:
            self._store_waiting()
            stored = len(record.events)
        if stored:
            self._replace.add(record.run)
            self.report.updated += 1
        else:
            self.report.new += 1
        self._waiting.extend(record.events)
        self._runs_waiting.add(record.run)
        if len(self._waiting) >= BATCH_EVENTS:
            self._store_waiting()

    def _store_waiting(self) -> None:
        if not self._waiting:
            return
        batch = self._admitter.admit(self._waiting, scrubbed=False, replace=frozenset(self._replace))
        self._store.append(batch)
        self.report.events += len(batch.events)
        for _, events in groupby(batch.events, key=lambda event: event.run):
            self.report.totals += fold(events)
        self._waiting, self._runs_waiting, self._replace = [], set(), set()

    def _flush(self) -> None:
        self._store_waiting()
        for file, digest, facts in self._done:
            known.remember(self._notes, file, digest, facts)
        self._done.clear()


def _is_later(file: File) -> bool:
    return any(fnmatch.fnmatch(file.path.name, pattern) for pattern in LATER)
