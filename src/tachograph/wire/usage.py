"""Usage as providers report it → four disjoint token classes: the one decision procedure for all ways in.

A `Dialect` is a row of a table: where a kind of usage object keeps each figure, and what its figures include. `read`
takes the figures out and `settle` makes them disjoint:

1. Input includes cached tokens unless the dialect says otherwise (Anthropic and Bedrock Converse leave them out).
2. It leaves them out after all when they exceed it, or when the total only adds up with them on top. A total *below*
   input + output is what LiteLLM makes of Anthropic: `prompt` is then uncached + written, the total uncached + output.
3. Reasoning is part of the output unless the dialect says otherwise (Gemini) or the total only adds up with it on top
   (xAI). A total above the sum at an endpoint that hides its thinking (Gemini's OpenAI form) is output as well.
4. Absent is not zero: what nobody said is None. Figures a rule had to guess are marked `inferred`.

Streams repeat their usage, growing: the last chunk counts. `overlay` joins the two halves of an Anthropic stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tachograph.events.usage import MISSING, Basis, Usage

Paths = tuple[str, ...]
_MOST = 2**53


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts as one usage object gives them, before they are made disjoint. None: it does not say."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    total: int | None = None
    beside: int | None = None
    """Input tokens that `input` leaves out: prompts of tools the provider ran itself."""
    audio: int | None = None
    """Audio tokens of the input; a part of it, unless the total says that they come on top (Mistral)."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where one kind of usage object keeps its figures (dotted paths, the first present wins)."""

    input: Paths
    output: Paths
    cache_read: Paths = ()
    cache_write: Paths = ()
    cache_write_1h: Paths = ()
    reasoning: Paths = ()
    total: Paths = ()
    beside: Paths = ()
    audio: Paths = ()
    extra: Mapping[str, Paths] = field(default_factory=dict)
    """Counts that some models price apart: name in `Usage.extra` → paths."""
    cached_apart: bool = False
    """`input` leaves out what was read from or written to the cache."""
    reasoning_apart: bool = False
    """`output` leaves out reasoning."""
    hides_reasoning: bool = False
    """Output that is not itemised shows only in the total."""


_CHAT = Dialect(
    input=("prompt_tokens",),
    output=("completion_tokens",),
    cache_read=(
        "prompt_tokens_details.cached_tokens", "cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens",
        "cache_read_input_tokens", "cache_read_tokens",
    ),
    cache_write=(
        "prompt_tokens_details.cache_write_tokens", "prompt_tokens_details.cache_creation_tokens",
        "cache_creation_input_tokens", "cache_write_tokens",
    ),
    reasoning=("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    total=("total_tokens",),
    audio=("prompt_tokens_details.audio_tokens",),
    extra={
        "input_audio": ("prompt_tokens_details.audio_tokens",),
        "input_image": ("prompt_tokens_details.image_tokens",),
        "output_audio": ("completion_tokens_details.audio_tokens",),
        "output_image": ("completion_tokens_details.image_tokens",),
        "web_searches": ("server_tool_use_details.web_search_requests",),
    },
)  # fmt: skip

DIALECTS: Mapping[str, Dialect] = {
    "openai.chat": _CHAT,
    "gemini.openai": replace(_CHAT, hides_reasoning=True),
    "openai.responses": Dialect(
        input=("input_tokens",),
        output=("output_tokens",),
        cache_read=("input_tokens_details.cached_tokens", "cached_input_tokens"),
        cache_write=("input_tokens_details.cache_write_tokens",),
        reasoning=("output_tokens_details.reasoning_tokens", "reasoning_output_tokens"),
        total=("total_tokens",),
    ),
    "anthropic": Dialect(
        input=("input_tokens",),
        output=("output_tokens",),
        cache_read=("cache_read_input_tokens",),
        cache_write=("cache_creation_input_tokens",),
        cache_write_1h=("cache_creation.ephemeral_1h_input_tokens",),
        reasoning=("output_tokens_details.thinking_tokens",),
        extra={"web_searches": ("server_tool_use.web_search_requests",)},
        cached_apart=True,
    ),
    "bedrock.converse": Dialect(
        input=("inputTokens",),
        output=("outputTokens",),
        cache_read=("cacheReadInputTokens", "cacheReadInputTokenCount"),
        cache_write=("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
        cached_apart=True,
    ),
    "bedrock.titan": Dialect(input=("inputTextTokenCount",), output=("outputTokenCount", "tokenCount")),
    "bedrock.llama": Dialect(input=("prompt_token_count",), output=("generation_token_count",)),
    "bedrock.headers": Dialect(
        input=("x-amzn-bedrock-input-token-count",), output=("x-amzn-bedrock-output-token-count",)
    ),
    "gemini": Dialect(
        input=("promptTokenCount",),
        output=("candidatesTokenCount",),
        cache_read=("cachedContentTokenCount",),
        reasoning=("thoughtsTokenCount",),
        total=("totalTokenCount",),
        beside=("toolUsePromptTokenCount",),
        reasoning_apart=True,
    ),
    "gemini.interactions": Dialect(
        input=("total_input_tokens",),
        output=("total_output_tokens",),
        cache_read=("total_cached_tokens",),
        reasoning=("total_thought_tokens",),
        total=("total_tokens",),
        beside=("total_tool_use_tokens",),
        reasoning_apart=True,
    ),
    "gemini.cli": Dialect(
        input=("input",),
        output=("output",),
        cache_read=("cached",),
        reasoning=("thoughts",),
        total=("total",),
        beside=("tool",),
        reasoning_apart=True,
    ),
    "gemini.count": Dialect(input=("totalTokens",), output=()),
    "cohere": Dialect(
        input=("tokens.input_tokens", "billed_units.input_tokens"),
        output=("tokens.output_tokens", "billed_units.output_tokens"),
        cache_read=("cached_tokens",),
        reasoning=("tokens.reasoning_tokens",),
        extra={"billed_input": ("billed_units.input_tokens",), "billed_output": ("billed_units.output_tokens",)},
    ),
    "ollama": Dialect(input=("prompt_eval_count",), output=("eval_count",)),
}
"""Every dialect by name. OpenAI-compatible hosts, LiteLLM, Mistral, DeepSeek, xAI and Ollama speak `openai.chat`."""

_BY_MODALITY = {"promptTokensDetails": "input", "cacheTokensDetails": "cache", "candidatesTokensDetails": "output"}

_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gemini", ("promptTokenCount", "candidatesTokenCount", "totalTokenCount")),
    ("gemini.interactions", ("total_input_tokens",)),
    ("bedrock.converse", ("inputTokens", "outputTokens")),
    ("bedrock.titan", ("inputTextTokenCount",)),
    ("bedrock.llama", ("generation_token_count",)),
    ("bedrock.headers", ("x-amzn-bedrock-input-token-count",)),
    ("cohere", ("billed_units", "tokens")),
    ("ollama", ("prompt_eval_count", "eval_count")),
    ("openai.chat", ("prompt_tokens", "completion_tokens")),
    ("anthropic", ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use")),
    ("openai.responses", ("input_tokens_details", "total_tokens", "cached_input_tokens")),
    ("anthropic", ("input_tokens", "output_tokens")),
    ("gemini.count", ("totalTokens",)),
)


def dialect_of(raw: Mapping[str, Any]) -> str | None:
    """The dialect whose keys a usage object has; None when it has none of any."""
    return next((name for name, signs in _SIGNS if any(sign in raw for sign in signs)), None)


def read(raw: Mapping[str, Any] | None, dialect: str | None = None, basis: Basis = "provider") -> Usage:
    """Disjoint token classes of a usage object; `dialect` is recognised by its keys when it is not named.

    A missing or unrecognised object is `MISSING`. Raises KeyError for a dialect that is not in the table.
    """
    if not isinstance(raw, Mapping):
        return MISSING
    name = dialect or dialect_of(raw)
    if name is None:
        return MISSING
    spoken = DIALECTS[name]
    if name == "anthropic" and isinstance(raw.get("iterations"), list):
        raw = _all_iterations(raw)
    extra = {key: count for key, paths in spoken.extra.items() if (count := _first(raw, paths))}
    extra.update(_modalities(raw))
    return settle(figures(raw, spoken), spoken, basis, extra or None)


def figures(raw: Mapping[str, Any], dialect: Dialect) -> Figures:
    """The counts of a usage object, as it gives them."""
    return Figures(**{name: _first(raw, getattr(dialect, name)) for name in Figures.__dataclass_fields__})


def settle(
    given: Figures, dialect: Dialect = _CHAT, basis: Basis = "provider", extra: Mapping[str, int] | None = None
) -> Usage:
    """Disjoint classes from counts that may include each other."""
    if all(part is None for part in (given.input, given.output, given.cache_read, given.cache_write, given.reasoning)):
        return MISSING
    uncached, write, guessed = _split_input(given, dialect)
    output, added = _whole_output(given, dialect, uncached, write)
    return Usage(
        input_uncached=uncached,
        cache_read=given.cache_read,
        cache_write=write,
        output=output,
        reasoning=given.reasoning,
        basis="inferred" if guessed or added else basis,
        cache_write_1h=given.cache_write_1h,
        extra=extra,
    )


def overlay(before: Mapping[str, Any], after: Mapping[str, Any]) -> Mapping[str, Any]:
    """A usage object with a later one of the same reply laid over it: the later figure counts, null says nothing."""
    return {**before, **{key: value for key, value in after.items() if value is not None}}


def from_buckets(raw: Mapping[str, Any], basis: Basis = "instrumentation") -> Usage:
    """Usage of disjoint buckets, as Langfuse keeps them: all keys that start with `input` (or `output`) add up."""
    sums: dict[str, int] = {}
    for key, value in raw.items():
        bucket, count = _bucket(key), _count(value)
        if bucket and count is not None:
            sums[bucket] = sums.get(bucket, 0) + count
    if not sums:
        return MISSING
    reasoning = sums.get("reasoning")
    output = sums.get("output")
    return Usage(
        input_uncached=sums.get("input"),
        cache_read=sums.get("cache_read"),
        cache_write=sums.get("cache_write"),
        output=output if reasoning is None else (output or 0) + reasoning,
        reasoning=reasoning,
        basis=basis,
    )


class _Input(NamedTuple):
    """Input by class; what was read from the cache stays as it is given."""

    uncached: int | None
    write: int | None
    guessed: bool = False
    """A rule overruled the dialect."""


def _split_input(given: Figures, dialect: Dialect) -> _Input:
    if given.input is None:
        return _Input(None, given.cache_write)
    beside, read_, write = given.beside or 0, given.cache_read or 0, given.cache_write or 0
    if dialect.cached_apart:
        return _Input(given.input + beside, given.cache_write)
    over = None if given.total is None or given.output is None else given.total - given.input - given.output
    if over is not None and not dialect.reasoning_apart and (found := _by_total(given, over, read_, write)):
        return found
    if read_ + write > given.input or (over and over == read_ + write):
        return _Input(given.input, given.cache_write, guessed=True)
    return _Input(given.input - read_ - write + beside, given.cache_write)


def _by_total(given: Figures, over: int, read_: int, write: int) -> _Input | None:
    """What the total says about the input; `over` is by how much it exceeds input + output."""
    counted = given.input or 0
    if -counted < over < 0 and given.cache_read is not None and given.cache_write is None:  # LiteLLM of Anthropic
        return _Input(counted + over, -over, guessed=True)
    largest = max(read_, write)
    if over == 0 and largest <= counted < read_ + write:  # the same tokens named as read and as written
        return _Input(counted - largest, largest - read_, guessed=True)
    if given.audio and over == given.audio and read_ + write <= counted + over:
        return _Input(counted + over - read_ - write, given.cache_write, guessed=True)
    return None


def _whole_output(given: Figures, dialect: Dialect, uncached: int | None, write: int | None) -> tuple[int | None, bool]:
    """(output with its reasoning, whether a rule overruled the dialect)."""
    if dialect.reasoning_apart:
        thought_only = given.output is None and not given.reasoning
        return (None if thought_only else (given.output or 0) + (given.reasoning or 0)), False
    if given.output is None or given.total is None:
        return given.output, False
    above = given.total - (uncached or 0) - (given.cache_read or 0) - (write or 0) - given.output
    if given.reasoning and above == given.reasoning:
        return given.output + given.reasoning, True
    if dialect.hides_reasoning and above > 0:
        return given.output + above, True
    return given.output, False


def _all_iterations(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Anthropic: what a compaction inside the request used is billed too, but the top figures leave it out."""
    compactions = [item for item in raw["iterations"] if isinstance(item, dict) and item.get("type") == "compaction"]
    keys = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    added = {key: sum(_count(item.get(key)) or 0 for item in compactions) for key in keys}
    return {**raw, **{key: (_count(raw.get(key)) or 0) + more for key, more in added.items() if more}}


def _modalities(raw: Mapping[str, Any]) -> dict[str, int]:
    """Gemini: how many tokens of input, cache and output were audio, image or video."""
    found: dict[str, int] = {}
    for key, side in _BY_MODALITY.items():
        items = raw.get(key)
        for item in items if isinstance(items, list) else ():
            kind = str(item.get("modality")).lower() if isinstance(item, dict) else ""
            if kind in ("audio", "image", "video") and (count := _count(item.get("tokenCount"))):
                found[f"{side}_{kind}"] = found.get(f"{side}_{kind}", 0) + count
    return found


def _bucket(key: str) -> str | None:
    if key.startswith("output"):
        return "reasoning" if "reasoning" in key else "output"
    if not key.startswith("input"):
        return None
    if "creation" in key or "write" in key:
        return "cache_write"
    return "cache_read" if "cache" in key else "input"


def _first(raw: Mapping[str, Any], paths: Paths) -> int | None:
    for path in paths:
        outer, dot, inner = path.partition(".")
        found = raw.get(outer)
        if dot:
            found = found.get(inner) if isinstance(found, dict) else None
        count = None if found is None else _count(found)
        if count is not None:
            return count
    return None


def _count(value: Any) -> int | None:
    """A token count: a whole number that is not negative, also as a float or a text of one."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None
