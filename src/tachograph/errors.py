"""Every error Tachograph raises, in one tree.

TachographError
├── SettingsError            a setting, URL or option has a value that cannot be used
│   └── MissingExtra         the feature needs a package that is not installed
├── StoreError               a store could not do what was asked
│   ├── StoreUnavailable     locked, unreachable, unwritable: trying again later may work
│   ├── StoreRefused         another server does not take what was sent: sending it again will not help
│   ├── WriteOnly            this store takes events in and answers nothing
│   ├── SchemaMismatch       the database is newer than this version, or was altered
│   ├── SequenceGap          events for a run arrived with a hole before them
│   └── ArchiveFailed        runs could not be archived, and stay in the store
├── CodecError               bytes that are not an event
├── ImportFailed             a recorded conversation could not be read
├── NotFound                 no run, call or payload has this id
├── InvalidParameter         a question has a parameter that cannot be used
├── Ambiguous                several have an id that begins like this
├── ApprovalRefused          a decision about a tool call cannot be taken (any more)
├── LimitExceeded            a guard refused an action before it happened
├── NotResumable             a run cannot go on here
├── ModelError               a request to a model failed
├── ReplayMismatch           a replayed model was asked what was not recorded, or not asked what was
├── ToolError                a tool says what went wrong, in words for the model
├── InvalidTranscript        messages that no provider would take
├── SessionError             a turn of a session cannot begin, or cannot be kept
│   ├── SessionBusy          somebody else writes, and did not end in time
│   ├── SessionConflict      the lease was lost, or the session has changed: nothing was written
│   ├── SessionClosed        the session takes no turns any more
│   ├── SessionHandedOff     a person has the session
│   ├── HistoryMissing       what was said cannot be read back
│   └── StateMismatch        the session's state is of a schema that this program cannot read
└── RunFailed                `run_or_raise`: the run has an outcome, and it is not an answer

Facts are attributes; the message says what was wrong, with what value, and what to do. Only `LimitExceeded` ever
reaches a program from inside a recorded step: every other failure of the recorder is counted, never raised there. To
resume a run raises what stands against it before anything happens.
"""

from __future__ import annotations


class TachographError(Exception):
    """Base of all errors below."""

    def __reduce__(self) -> tuple[object, ...]:
        """As pickle wants it: an error passes from one process to another with its facts."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[TachographError], args: tuple[object, ...], facts: dict[str, object]) -> TachographError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class SettingsError(TachographError):
    """A setting has a value that cannot be used."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        self.name, self.value, self.wanted = name, value, wanted
        super().__init__(f"{name}={value!r} cannot be used: {wanted}")


class MissingExtra(SettingsError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        self.feature, self.package, self.extra = feature, package, extra
        TachographError.__init__(self, f"{feature} needs the package {package!r}: pip install 'tachograph[{extra}]'")


class StoreError(TachographError):
    """A store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store is locked, unreachable or unwritable; what was recorded waits in the journal."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"store {url} is not available: {reason}")


class StoreRefused(StoreError):
    """Another server does not take what was sent, and would not the next time; it waits in the journal.

    `status` is that of the HTTP answer, `kind` what sort of problem it is, `detail` what the server says.
    """

    def __init__(self, url: str, status: int, kind: str, detail: str) -> None:
        self.url, self.status, self.kind, self.detail = url, status, kind, detail
        super().__init__(f"store {url} refused what was sent ({status} {kind}): {detail}")


class WriteOnly(StoreError):
    """A question to a store that only takes events in."""

    def __init__(self, url: str, asked: str) -> None:
        self.url, self.asked = url, asked
        super().__init__(
            f"store {url} only takes events in and cannot be asked for {asked}: use that server's pages or its API "
            f"({url}/openapi.json), or run the command on its machine"
        )


class SchemaMismatch(StoreError):
    """The database has a schema this version does not know.

    `table` is set where one table (or view, or index) is not what it should be; `found` then says what is wrong.
    """

    def __init__(
        self,
        url: str,
        found: str,
        known: str,
        *,
        table: str = "",
        advice: str = "upgrade tachograph, or name another store",
    ) -> None:
        self.url, self.found, self.known, self.table = url, found, known, table
        if table:
            said = f"{table!r} {found}, and is not what tachograph keeps under this name (schema {known!r})"
            super().__init__(f"store {url}: {said}: {advice}")
        else:
            super().__init__(f"store {url} has schema {found!r}, this version knows {known!r}: {advice}")


class SequenceGap(StoreError):
    """Events of a run arrived with a hole before them; nothing of the batch was stored."""

    def __init__(self, run: str, expected: int, found: int) -> None:
        self.run, self.expected, self.found = run, expected, found
        super().__init__(f"run {run}: expected event {expected}, found {found}; nothing of this batch was stored")


class ArchiveFailed(StoreError):
    """Runs could not be written to an archive, or it is not what was written; they stay in the store."""

    def __init__(self, folder: str, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(f"archive {folder} failed, its runs stay in the store: {reason}")


class CodecError(TachographError):
    """Bytes that are not an event."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not an event: {reason}")


class ImportFailed(TachographError):
    """A recorded conversation could not be read; `line` is 1-based, or None for the file as a whole."""

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {reason}")


class NotFound(TachographError):
    """Nothing has this id; or nothing is at this place, when `place` is true."""

    def __init__(self, what: str, key: str, *, place: bool = False) -> None:
        self.what, self.key = what, key
        super().__init__(f"no {what} found: {key}" if place else f"no {what} has the id {key!r}")


class InvalidParameter(TachographError):
    """A question has a parameter that cannot be used."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        self.name, self.value, self.wanted = name, value, wanted
        super().__init__(f"{name}={value!r} cannot be used: {wanted}")


class Ambiguous(TachographError):
    """Several things have an id that begins with `key`; `matches` names the first of them."""

    def __init__(self, what: str, key: str, matches: tuple[str, ...]) -> None:
        self.what, self.key, self.matches = what, key, matches
        super().__init__(f"more than one {what} begins with {key!r}: {', '.join(matches)}")


class ApprovalRefused(TachographError):
    """A decision about a tool call was not taken. What stands about that call stays as it is.

    `problem` is decided, expired, mismatch, not_kept or not_waiting; `by` is who decided before.
    """

    def __init__(self, approval: str, problem: str, said: str, by: str = "") -> None:
        self.approval, self.problem, self.by = approval, problem, by
        super().__init__(f"approval {approval}: {said}")


class LimitExceeded(TachographError):
    """A guard refused an action before it happened.

    `metric` is what was measured, `used` how much of it, `requested` how much more was wanted, `threshold` the limit.
    `mode` says what its policy wants done: `block` and `skip` refuse this action alone, every other mode ends the run.
    `above` is how many runs above the one that was refused the limit belongs to: 0 is its own.
    """

    def __init__(
        self,
        metric: str,
        used: float,
        requested: float,
        threshold: float,
        *,
        scope: str = "run",
        mode: str = "raise",
        reason: str = "",
        above: int = 0,
    ) -> None:
        self.metric, self.used, self.requested, self.threshold = metric, used, requested, threshold
        self.scope, self.mode, self.reason, self.above = scope, mode, reason, above
        super().__init__(
            reason
            or f"{scope} limit on {metric}: {used:.12g} used, {requested:.12g} more asked for, {threshold:.12g} allowed"
        )


class NotResumable(TachographError):
    """A run cannot go on here. `status` is how it stands, as far as the store knows: empty when it has no such run."""

    def __init__(self, run: str, status: str, reason: str) -> None:
        self.run, self.status, self.reason = run, status, reason
        super().__init__(f"run {run} cannot be resumed: {reason}")


class ModelError(TachographError):
    """A request to a model failed.

    `category` is timeout, auth, rate_limit, overloaded, server_error, network, context_overflow, invalid_request,
    cancelled, budget or bug. `safe` says that asking again cannot be answered twice: nothing was sent, or the provider
    refused it. `partial` is the reply as far as it came, `exchanges` the HTTP attempts, `retry_after` is in seconds.
    """

    def __init__(
        self,
        category: str,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        code: str = "",
        retry_after: float | None = None,
        safe: bool = False,
        in_stream: bool = False,
        partial: object = None,
        exchanges: tuple[object, ...] = (),
    ) -> None:
        self.category, self.provider, self.model, self.status, self.code = category, provider, model, status, code
        self.retry_after, self.safe, self.in_stream = retry_after, safe, in_stream
        self.partial, self.exchanges = partial, exchanges
        where = " ".join(part for part in (provider, model) if part)
        super().__init__(f"{where or 'model'}: {category}: {message}")


class ReplayMismatch(TachographError):
    """A replayed model was asked what was not recorded, or was not asked what was."""

    def __init__(self, position: int, problem: str) -> None:
        self.position, self.problem = position, problem
        super().__init__(f"replay, answer {position}: {problem}")


class ToolError(TachographError):
    """Raised inside a tool: the message goes to the model as it is, without a class name."""


class InvalidTranscript(TachographError):
    """Messages that no provider would take: a result without its call, or a call without a result.

    `position` counts messages from 0.
    """

    def __init__(self, position: int, problem: str) -> None:
        self.position, self.problem = position, problem
        super().__init__(f"message {position}: {problem}")


class SessionError(TachographError):
    """A turn of a session cannot begin, or cannot be kept."""


class SessionBusy(SessionError):
    """Somebody else writes; `holder` says who, `waited` how many seconds we waited for him."""

    def __init__(self, session: str, holder: str, waited: float) -> None:
        self.session, self.holder, self.waited = session, holder, waited
        super().__init__(f"session {session!r} is being written by {holder}, who did not end within {waited:g} s")


class SessionConflict(SessionError):
    """The lease was lost, or the session has changed since it was read; nothing was written."""

    def __init__(self, session: str, reason: str) -> None:
        self.session, self.reason = session, reason
        super().__init__(f"session {session!r}: {reason}; nothing was written")


class SessionClosed(SessionError):
    """The session takes no turns any more."""

    def __init__(self, session: str) -> None:
        self.session = session
        super().__init__(f"session {session!r} is closed: reopen it, or begin another")


class SessionHandedOff(SessionError):
    """A person has the session."""

    def __init__(self, session: str) -> None:
        self.session = session
        super().__init__(f"session {session!r} was handed to a person: reopen it, or say allow_handed_off=True")


class HistoryMissing(SessionError):
    """What was said cannot be read back here."""

    def __init__(self, session: str, reason: str) -> None:
        self.session, self.reason = session, reason
        advice = "reset it, or say accept_missing=True to go on with what there is"
        super().__init__(f"the conversation of session {session!r} cannot be read back: {reason}; {advice}")


class StateMismatch(SessionError):
    """The session's state was written in version `found` of its schema, this program knows `known`."""

    def __init__(self, session: str, found: int, known: int) -> None:
        self.session, self.found, self.known = session, found, known
        advice = "upgrade the program" if found > known else "give an upgrade function"
        super().__init__(f"the state of session {session!r} has version {found}, not {known}: {advice}")


class RunFailed(TachographError):
    """A run reached an outcome that is not an answer; `outcome` is that outcome."""

    def __init__(self, status: str, stop_reason: str, detail: str, outcome: object) -> None:
        self.status, self.stop_reason, self.outcome = status, stop_reason, outcome
        super().__init__(f"the run is {status} ({stop_reason}){f': {detail}' if detail else ''}")
