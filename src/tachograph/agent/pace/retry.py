"""Whether a failed request is made again, and when: the one retry layer there is.

| What happened | Made again |
| --- | --- |
| nothing was sent: no connection | yes |
| refused with 408, 409, 425, 429, 500, 502, 503, 504, 520 to 524 or 529 | yes |
| an error inside the stream: rate limit, overload, server error | yes; what came of the reply is void |
| cut off, ended without saying so, or too late | only with `cut`: the provider may still answer, and bill |
| a reply that cannot be read | no: it was given, and billed |
| 402, or a code that says that the quota is used up | no: waiting does not help |
| 400, 401, 403, 404, 422 and every other status | no |
| context overflow, budget, cancelled, bug | no |

Waiting is full jitter: evenly between nothing and a bound that doubles with each attempt
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A provider that says when to come back is
not asked earlier than that.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tachograph.errors import ModelError, SettingsError

TRANSIENT = frozenset(("timeout", "network", "rate_limit", "overloaded", "server_error"))
"""Categories that may be different the next time."""
REFUSALS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529))
"""Statuses that say: not now."""
EXHAUSTED = frozenset((
    "insufficient_quota", "billing_error", "billing_hard_limit_reached", "quota_exceeded", "credits_exhausted",
))  # fmt: skip
"""Codes that say: not until somebody has paid."""
_ENDED_BY_PROVIDER = frozenset(("rate_limit", "overloaded", "server_error"))
_DOUBLINGS = 60  # beyond, every bound is above any `most`, and floats would overflow


class Retry(Struct, frozen=True):
    """How often a request is made, and how long is waited in between. Raises SettingsError."""

    attempts: int = 3
    """The first one included."""
    base: float = 0.5
    """Seconds: bound of the first wait."""
    most: float = 30.0
    """Seconds: bound of every wait that the provider did not ask for."""
    honour: float = 60.0
    """Seconds: a provider that asks for more is not waited for, nor asked again."""
    cut: bool = False
    """Whether a request is made again after it was cut off, at the risk of paying for two replies."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise SettingsError("attempts", self.attempts, "a number from 1 on")
        for name in ("base", "most", "honour"):
            if not getattr(self, name) >= 0:
                raise SettingsError(name, getattr(self, name), "seconds, 0 or more")

    def after(
        self,
        error: ModelError,
        attempt: int,
        *,
        random: Callable[[], float],
        left: float | None,
        started: bool = False,
    ) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed; None when there shall be no other.

        `random` gives a number from 0 to below 1, `left` is in seconds until the deadline (None: there is none), and
        `started` says whether anything of the reply was passed on. A wait always ends before the deadline.
        """
        if attempt >= self.attempts or not self.repeats(error, started=started):
            return None
        asked = error.retry_after or 0.0
        if not asked <= self.honour:  # or no number at all
            return None
        bound = self.bound(attempt) if left is None else min(self.bound(attempt), left)
        wait = max(asked, random() * bound)
        return wait if left is None or wait < left else None

    def bound(self, attempt: int) -> float:
        """The longest wait after an attempt, in seconds, where the provider asks for none."""
        return min(self.most, self.base * 2.0 ** min(attempt - 1, _DOUBLINGS))

    def repeats(self, error: ModelError, *, started: bool = False) -> bool:
        """Whether a request that failed like this may be made again at all: the table above."""
        if error.category not in TRANSIENT or error.status == 402 or error.code in EXHAUSTED:
            return False
        if error.in_stream or started:
            return error.category in _ENDED_BY_PROVIDER or self.cut
        if error.status is not None and error.status >= 400:
            return error.status in REFUSALS
        return error.safe or (self.cut and error.category not in _ENDED_BY_PROVIDER)
