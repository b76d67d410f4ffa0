"""Compaction performed: one recorded step, whose end says what the conversation is from then on.

The conversation before and the one after are both in the transcript, and the step names their nodes; what was replaced
stays where it is. Nothing here ends a run: a step that fails is told of, and the next one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from tachograph.agent import progress
from tachograph.agent.compact import summary
from tachograph.agent.compact.draft import Draft, prune, window
from tachograph.agent.compact.exchanges import STANDING, groups, results
from tachograph.agent.compact.figures import Metrics
from tachograph.agent.compact.measure import Load, Scale, size
from tachograph.agent.compact.policy import LEAST_SHOWN, Compaction
from tachograph.agent.compacting.aside import aside
from tachograph.agent.live import Live
from tachograph.agent.reminders import wrap
from tachograph.agent.state import Compacted, advance
from tachograph.errors import ModelError
from tachograph.events.chat import Message, user
from tachograph.events.usage import MISSING
from tachograph.providers.port import ModelPort, Request
from tachograph.record.step import WorkStep, step

STEP = "compaction"
"""Kind of the step, and purpose of the requests in it."""


def load_of(live: Live, *, tools: bool = True) -> Load:
    """What the next request would carry."""
    offered = tuple(tool.spec for tool in live.toolbox().values()) if tools else ()
    return Load(live.state.messages, tuple(user(wrap(text)) for text in live.waiting), offered)


async def compact(live: Live, policy: Compaction, load: Load, target: int, trigger: str, attempt: int = 1) -> Metrics:
    """Bring the conversation down to so many tokens of input, or as near as it goes. Raises LimitExceeded at the door.

    It is another only if it is smaller; what was done is in what is returned, and in `live.compacted`.
    """
    before, began = live.state.messages, live.clock.mono()
    asked = {"trigger": trigger, "target": target, "attempt": attempt, "window": live.port.context_window}
    doing = step(
        STEP, kind="compaction", iteration=live.state.iteration or None, agent_type=live.spec.name, metadata=asked
    )  # fmt: skip
    with doing:
        was = doing.transcribe(before)
        work = _Work(live, policy, load, target, Draft.of(before))
        await work.run()
        seconds = (live.clock.mono() - began) / 1e9
        metrics = work.metrics(seconds)
        _record(doing, work, metrics, was)
    if metrics.changed:
        live.state = advance(live.state, Compacted(work.draft.messages))
        live.last_usage = MISSING  # of a conversation that is not this one any more
    live.gauge = live.gauge.smaller(metrics.compressed_tokens, live.port.context_window, target)
    live.compacted = metrics
    live.emit(progress.Compacted(trigger=trigger, metrics=metrics, iteration=live.state.iteration))
    return metrics


def _record(doing: WorkStep, work: _Work, metrics: Metrics, was: int | None) -> None:
    """What the step says at its end. The names of the first three are those that the trace reads."""
    doing.metadata = {
        "messages_before": metrics.original_message_count, "messages_after": metrics.compressed_message_count,
        "summary_chars": work.summary_chars, "tokens_before": metrics.original_tokens,
        "tokens_after": metrics.compressed_tokens, "steps": list(metrics.steps), "problems": list(metrics.problems),
        "archived": [list(stretch) for stretch in work.draft.archived()], "pruned": metrics.messages_pruned,
        "before": was, "after": doing.transcribe(work.draft.messages) if metrics.changed else None,
    }  # fmt: skip
    if not metrics.changed:
        doing.fail("; ".join(metrics.problems) or "nothing of the conversation could go")


@dataclass
class _Work:
    """One compaction on its way."""

    live: Live
    policy: Compaction
    load: Load
    target: int
    draft: Draft
    steps: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    summarised: int = 0
    summary_chars: int = 0

    def __post_init__(self) -> None:
        base, messages = self.live.state.base, self.draft.messages
        self.held = 0 if base is None else len(messages) - base
        """Messages at the end that another reply will take the place of."""
        self._plain = self._scale(self.load)
        self._wide = self._plain if self.live.shelf.holds else self._scale(_expanding(self.live, self.load))
        self._before = messages
        self._tokens = self._plain.tokens(messages)

    async def run(self) -> None:
        """The steps of the policy, each only while it is not small enough."""
        each: dict[str, Callable[[], Any]] = {"prune": self._prune, "window": self._window}
        for name in self.policy.steps:
            if self.fits(self.draft.messages):
                return
            if name == "summarise":
                await self._summarise()
            else:
                each[name]()
        if "prune" in self.policy.steps:
            self._prune_all()

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a conversation is as small as it shall be."""
        return self.scale.tokens(messages) <= self.target

    @property
    def scale(self) -> Scale:
        """What measures the next request; where results were cut, it offers a tool that shows the rest."""
        return self._wide if self.live.shelf.holds else self._plain

    def _scale(self, load: Load) -> Scale:
        return self.live.gauge.scale(self.live.port.model, load)

    def metrics(self, seconds: float) -> Metrics:
        """What it came to."""
        before, kept = self._before, zip(self.draft.origins, self.draft.messages, strict=True)
        return Metrics(
            original_message_count=len(before), compressed_message_count=len(self.draft.messages),
            original_tokens=self._plain.tokens(before), compressed_tokens=self._tokens,
            messages_summarized=self.summarised, steps=tuple(self.steps), problems=tuple(self.problems),
            messages_pruned=sum(origin is not None and before[origin] is not message for origin, message in kept),
            time_taken=seconds,
        )  # fmt: skip

    def _take(self, name: str, draft: Draft) -> bool:
        """Go on from this draft, if it is smaller."""
        tokens = self.scale.tokens(draft.messages)
        if tokens >= self._tokens:
            return False
        self.draft, self._tokens = draft, tokens
        self.steps += () if name in self.steps else (name,)
        return True

    def _prune(self) -> None:
        for reach in range(3):
            self._cut(results(self.draft.messages, self.policy, reach=reach, held=self.held))
            if self.fits(self.draft.messages):
                return

    def _prune_all(self) -> None:
        """What nothing else has made room for: the latest results too, one by one."""
        for place in results(self.draft.messages, self.policy, reach=3, held=self.held):
            if self.fits(self.draft.messages):
                return
            self._cut([place], failures=True)

    def _cut(self, places: list[int], *, failures: bool = False) -> None:
        above, shelf = self.policy.prune_above, self.live.shelf
        self._take("prune", prune(self.draft, places, shelf, above, LEAST_SHOWN, failures=failures))

    def _window(self) -> None:
        def fits(left: int) -> bool:
            return self.scale.of(left) <= self.target

        self._take("window", window(self.draft, self.policy, fits, held=self.held))

    # ---- a summary ------------------------------------------------------------------------------------------------

    async def _summarise(self) -> None:
        most = min(self.policy.summary_tokens, max(1, self.target // 2))
        places = self._archive(most)
        archived = [self.draft.messages[place] for place in places]
        if all(message.name in STANDING for message in archived):
            return
        try:
            text = await self._written(archived, most)
        except Exception as problem:  # noqa: BLE001 - whatever it was: there is no summary, and the next step follows
            self.problems.append(f"summarise: {type(problem).__name__}: {problem}")
            return
        standing = summary.message_of(text, len(archived))
        if self._take("summarise", self.draft.without(places, standing)):
            self.summarised, self.summary_chars = len(archived), len(standing.text)
        else:
            self.problems.append("summarise: the summary is no smaller than what it would stand for")

    def _archive(self, most: int) -> list[int]:
        """What a summary of so many tokens is to stand for: the oldest, as little as will do, else all that may go."""
        messages, found = self.draft.messages, list[int]()
        rest = size((*messages, summary.message_of("", len(messages))))
        for group in groups(messages, self.policy, held=self.held):
            found += group.positions
            rest -= size([messages[place] for place in group.positions])
            if self.scale.of(rest) + most <= self.target:
                break
        return found

    async def _written(self, archived: list[Message], most: int) -> str:
        """A summary in words. Raises ModelError for a reply that is none."""
        port = self.policy.port or self.live.port
        asked = Request(
            messages=summary.request(archived, most, port.context_window, port.model), max_tokens=most, stream=False
        )  # fmt: skip
        reply = await aside(self.live, port, asked, purpose=STEP, seconds=self.policy.seconds)
        text = reply.message.text.strip()
        if reply.finish != "stop" or not text:
            raise _no_summary(port, f"no summary came: {reply.finish}" if text else "the summary is empty")
        return text


def _expanding(live: Live, load: Load) -> Load:
    """The load with the tool that shows more of a cut result, where tools may be used."""
    if not load.tools and live.toolbox():
        return load
    return structs.replace(load, tools=(*load.tools, live.expand.spec))


def _no_summary(port: ModelPort, problem: str) -> ModelError:
    return ModelError("bug", problem, provider=port.provider, model=port.model)
