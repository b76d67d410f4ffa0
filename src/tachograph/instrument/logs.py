"""Log records that say which run and step they belong to."""

from __future__ import annotations

import logging

from tachograph.record import scope


class RunIds(logging.Filter):
    """Adds `execution_id`, `run_id` and `step` to each log record; they are empty outside a run.

    Attach it to a handler, and name the fields in its format: `%(execution_id)s`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids; every record passes."""
        here = scope.current()
        record.execution_id = here.run.execution_id if here else ""
        record.run_id = here.run.id if here else ""
        record.step = here.step if here else ""
        return True
