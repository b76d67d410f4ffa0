"""The completeness receipt of a run: what was recorded, and everything that is not as it was."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.fold import receipt
from tachograph.fold.receipt import Receipt
from tachograph.queries.find import find
from tachograph.queries.units import Time, time
from tachograph.store.ports import Reading


class OpenedStep(Struct, frozen=True, kw_only=True):
    """A step without an end."""

    id: str
    kind: str
    name: str
    start_time: Time


class RunReceipt(Struct, frozen=True, kw_only=True):
    """What became of one run's events and contents. Names of nothing are absent from the maps."""

    run_id: str
    complete: Annotated[
        bool, Meta(description="Every event is there, no content was given up or cut, every step has its end.")
    ]
    recorded: Annotated[int, Meta(description="Events seen, each once.")]
    stored: Annotated[int | None, Meta(description="Events that the store holds.")]
    missing: Annotated[int, Meta(description="Events before the last one that are not there.")]
    dropped: Annotated[int, Meta(description="Events that the writers say they could not record.")]
    dropped_bytes: int
    losses: Annotated[dict[str, int], Meta(description="Reason → how often something could not be recorded.")]
    contents: Annotated[int, Meta(description="Pieces of content named by the events.")]
    truncated: Annotated[int, Meta(description="Contents that were cut.")]
    truncated_bytes: Annotated[int, Meta(description="Bytes that were cut off: at least so many.")]
    redacted: Annotated[dict[str, int], Meta(description="Rule → how often it fired.")]
    marks: Annotated[dict[str, int], Meta(description="What sanitising replaced → in how many contents.")]
    withheld: Annotated[dict[str, int], Meta(description="Capture level → contents that it kept no text of.")]
    shed: Annotated[int, Meta(description="Contents that were given up because the journal was full.")]
    pending: Annotated[int, Meta(description="Contents that still wait in a journal for redaction.")]
    unknown: Annotated[dict[str, int], Meta(description="Event types this version does not know.")]
    attempts: int
    usage_missing: Annotated[int, Meta(description="Completed attempts that nobody gave a usage for.")]
    usage_missing_failed: Annotated[int, Meta(description="The same for attempts that did not complete.")]
    unpriced: Annotated[int, Meta(description="Ended attempts without a price.")]
    open: tuple[OpenedStep, ...]


def receipt_of(store: Reading, name: str) -> RunReceipt:
    """The receipt of the run that `name` means. Raises NotFound, Ambiguous."""
    run = find(store, name)
    return run_receipt(receipt.fold(store.read(run.id), stored=store.next_seq(run.id)))


def run_receipt(found: Receipt) -> RunReceipt:
    """A receipt in the form that answers have."""
    same = {name: getattr(found, name) for name in RunReceipt.__struct_fields__ if name not in _SPELLED}
    steps = tuple(
        OpenedStep(id=ids.step_id(found.run, each.step), kind=each.kind, name=each.name, start_time=time(each.at))
        for each in found.open
    )
    return RunReceipt(run_id=found.run, open=steps, **same)


_SPELLED = ("run_id", "open")
