from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.record.sanitize import Limits, Sanitized, from_json, to_json
from tests.record.test_spell import SPELLINGS, Hostile, HostileDict, HostileList, Model

SMALL = Limits(bytes=2_048, depth=6, nodes=200)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**300), max_value=10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)
odd = st.one_of(
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.complex_numbers(),
    st.integers(min_value=10**4_299, max_value=10**4_310),
    st.text(max_size=5).map(lambda text: text * 5_000),
    st.sampled_from([value for value, _ in SPELLINGS]),
    st.builds(lambda: (number for number in range(9))),
    st.builds(lambda: Hostile(RuntimeError())),
    st.builds(object),
)
keys = (
    st.text(st.characters(), max_size=4)
    | st.integers()
    | st.none()
    | st.booleans()
    | st.binary(max_size=3)
    | st.uuids()
)
anything = st.recursive(
    odd | scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(keys, inner, max_size=6),
        st.tuples(inner, inner),
        st.sets(keys, max_size=4),
        st.builds(HostileList, st.lists(inner, max_size=4)),
        st.builds(HostileDict, st.dictionaries(st.text(max_size=3), inner, max_size=4)),
        st.builds(lambda item: Model(inside=item), inner),
    ),
    max_leaves=25,
)


def read(text: str) -> Any:
    """The value, by the strictest reader there is."""
    return msgspec.json.decode(text)


# ---- what JSON can spell --------------------------------------------------------------------------------------------


@given(plain)
def test_plain_values_read_back_equal(value: Any) -> None:
    """What JSON can spell is spelled so that it reads back equal, keys in order, without a cut; only NUL is marked."""
    text, full_size, marks = to_json(value)
    assert (read(text), full_size) == (value, None)
    assert json.dumps(read(text)) == json.dumps(value)
    assert set(marks) <= {"nul"}


@given(plain)
def test_a_walk_writes_what_encoding_in_one_go_writes(value: Any) -> None:
    """Beside an object that has to be walked, plain values are spelled in exactly the same bytes."""
    walked = to_json([value, b""]).text
    assert walked == f'[{msgspec.json.encode(value).decode()},""]'


def test_order_and_numbers_are_kept() -> None:
    """Keys stay in their order, integers of any usual size and floats keep every digit."""
    value = {"z": 1, "a": [10**30, -0.0, 1e-7, 1.0, 0.1], "m": {"b": None, "a": True}}
    assert to_json(value) == Sanitized(
        '{"z":1,"a":[1000000000000000000000000000000,-0.0,1e-7,1.0,0.1],"m":{"b":null,"a":true}}'
    )


# ---- what it cannot -------------------------------------------------------------------------------------------------

CIRCLE: list[Any] = [1]
CIRCLE.append({"back": CIRCLE})

REPLACED: list[tuple[Any, str, tuple[str, ...]]] = [
    (math.nan, '"NaN"', ("nan",)),
    ([math.inf, -math.inf], '["Infinity","-Infinity"]', ("infinite",)),
    ("a\ud800b", '"a\ufffdb"', ("surrogate",)),
    ("a\0b", '"a\\u0000b"', ("nul",)),
    ({"a\0": 1}, '{"a\\u0000":1}', ("nul",)),
    (CIRCLE, '[1,{"back":"[cycle]"}]', ("cycle",)),
    (10**4_300, f'"{hex(10**4_300)}"', ("huge_int",)),
    ({1: "a", None: "b", False: "c", 2.5: "d"}, '{"1":"a","null":"b","false":"c","2.5":"d"}', ("key",)),
    ({(1, 2): "a", b"k": "b"}, '{"(1, 2)":"a","k":"b"}', ("key",)),
    ({"1": "a", 1: "b"}, '{"1":"a","1 #2":"b"}', ("key",)),
    (dict(zip("\ud800\ud801", (1, 2), strict=True)), '{"\ufffd":1,"\ufffd #2":2}', ("surrogate",)),
    ({"at": datetime(2026, 1, 2)},  # noqa: DTZ001 - on purpose
     '{"at":"2026-01-02T00:00:00"}', ("naive",)),
    ([{1}, b"x"], '[[1],"x"]', ("set", "bytes")),
    (Hostile(OSError()), f'"<class \'{Hostile.__module__}.Hostile\': repr raised OSError>"', ("repr_failed",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text", "marks"), REPLACED, ids=[f"{number} {marks[0]}" for number, (*_, marks) in enumerate(REPLACED)]
)
def test_what_json_cannot_spell_is_replaced_and_marked(value: Any, text: str, marks: tuple[str, ...]) -> None:
    """Each kind of bad input has a spelling that reads back, and a mark that says what was replaced."""
    assert to_json(value) == Sanitized(text, None, marks)


def test_an_object_that_contains_itself_is_cut_there() -> None:
    """A cycle through objects and models ends where it closes; the same object twice in a row is no cycle."""
    model = Model()
    model.fields["self"] = {"again": model}
    assert to_json(model) == Sanitized('{"self":{"again":"[cycle]"}}', None, ("cycle",))
    shared = {"a": b"x"}
    assert to_json([shared, shared]).text == '[{"a":"x"},{"a":"x"}]'


def test_many_keys_that_look_alike_are_told_apart() -> None:
    """Ten thousand keys with one `repr` become ten thousand keys, in linear time."""
    value = {Model(): number for number in range(10_000)}
    began = time.process_time()
    assert len(read(to_json(value).text)) == 10_000
    assert time.process_time() - began < 5


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_a_long_string_keeps_its_head() -> None:
    """A string above the limit is cut at a word, says so at its end, and its full size is known."""
    value = "word " * 1_000
    text, full_size, marks = to_json(value, SMALL)
    assert text == '"' + "word " * 392 + 'word [cut: first 1964 of 5000 characters]"'
    assert (full_size, marks) == (5_002, ("cut",))


def test_fifty_megabytes_are_cut_without_reading_them_all() -> None:
    """A 50 MB string inside a message is cut to the limit at little cost."""
    began = time.process_time()
    message = {"role": "user", "content": "x" * 50_000_000}
    text, full_size, marks = to_json(message)
    assert (len(text) <= 8 * 1024 * 1024, full_size, marks) == (True, 50_000_000 + 28, ("cut",))
    assert time.process_time() - began < 10


def test_containers_are_cut_between_their_entries() -> None:
    """A list or dict that does not fit keeps its first entries and counts the others."""
    many = to_json(list(range(1_000)), SMALL)
    assert read(many.text) == [*range(200), "[cut: 800 more]"]
    assert (many.full_size, many.marks) == (len(msgspec.json.encode(list(range(200)))) + 1_600, ("cut",))
    wide = to_json({f"key {number}": "x" * 50 for number in range(1_000)}, SMALL)
    kept = read(wide.text)
    assert list(kept)[:2] == ["key 0", "key 1"]
    assert kept["[cut]"] == f"{1_000 - len(kept) + 1} more"


def test_depth_is_bounded() -> None:
    """Ten thousand lists in one another are cut at the depth of the limits; as many as allowed are kept."""
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert to_json(deep, SMALL) == Sanitized("[" * 6 + '"[cut: too deep]"' + "]" * 6, None, ("depth",))
    assert to_json([[[[[[1]]]]]], SMALL) == Sanitized("[[[[[[1]]]]]]")


def test_a_tree_that_shares_its_branches_is_bounded() -> None:
    """Sixty doublings of one list stand for 2 to the 60 values: cut at the limits, in bounded time."""
    tree: list[Any] = ["leaf"]
    for _ in range(60):
        tree = [tree, tree]
    began = time.process_time()
    text, _, marks = to_json(tree)
    assert (len(text) <= 8 * 1024 * 1024, marks) == (True, ("cut",))
    assert time.process_time() - began < 10


def test_escapes_count_as_the_bytes_they_take() -> None:
    """A string of control characters is cut by its encoded size, six bytes each."""
    text, _, marks = to_json("\x01" * 2_000, SMALL)
    assert len(text) <= 2_048
    assert text.startswith('"' + "\\u0001" * 300)
    assert marks == ("cut",)


def test_no_stack_left_is_no_error() -> None:
    """At the bottom of a deep recursion of the program's own, sanitising still returns."""

    def down(levels: int) -> list[Sanitized]:
        try:
            return [to_json({"a": [{1, 2}]}), *down(levels + 1)]
        except RecursionError:
            return []

    results = {result.text for result in down(0)}
    assert '{"a":[[1,2]]}' in results
    assert all(read(text) for text in results)


def test_a_value_that_another_thread_changes_is_recorded() -> None:
    """A dict and a list that grow and shrink meanwhile are recorded in some state they had."""
    value: dict[str, Any] = {"list": []}
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            number += 1
            value[f"key{number % 50}"] = object()
            value["list"].append(number)
            value.pop(f"key{(number + 25) % 50}", None)
            del value["list"][:-20]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        results = [to_json(value) for _ in range(300)]
    finally:
        done.set()
        thread.join()
    assert all(isinstance(read(result.text), dict) for result in results)


class Caught(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("error", [Caught, SystemExit, GeneratorExit, RuntimeError])
def test_errors_of_all_kinds_stay_inside(error: type[BaseException]) -> None:
    """A mapping that raises on every question is recorded by its class, whatever it raises."""

    class Raises(dict[Any, Any]):
        def __getattribute__(self, name: str) -> Any:
            raise error

        def __repr__(self) -> str:
            raise error

        def __hash__(self) -> int:  # type: ignore[override]
            raise error

    class Liar:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise error

        def __repr__(self) -> str:
            raise error

    for value in (Raises(a=1), {Liar(): Liar()}, [Liar()]):
        assert read(to_json(value).text)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_ctrl_c_passes_through(error: type[BaseException]) -> None:
    """The user's interrupt and a lack of memory are not swallowed."""
    with pytest.raises(error):
        to_json([Hostile(error())])


@given(anything)
@settings(max_examples=300)
def test_any_object_becomes_bounded_valid_json(value: Any) -> None:
    """Whatever it is: the text is valid, within the limit, reads back, can be encoded; a cut is marked and sized."""
    for limits in (SMALL, Limits()):
        text, full_size, marks = to_json(value, limits)
        read(text)
        assert len(text.encode()) <= limits.bytes
        assert full_size is None or (full_size > 0 and "cut" in marks)


@given(anything)
@settings(max_examples=100)
def test_the_same_object_is_the_same_text(value: Any) -> None:
    """Sanitising twice gives the same text, so that it is stored once."""
    assert to_json(value) == to_json(value)


@given(st.text(st.characters(), max_size=3_000), st.integers(1_024, 3_000))
def test_a_string_fits_any_limit(text: str, limit: int) -> None:
    """However a string is cut, what is left is its head, valid and within the limit."""
    cut = to_json(text, Limits(bytes=limit))
    assert len(cut.text.encode()) <= limit
    head = read(cut.text).partition(" [cut: first")[0] if "cut" in cut.marks else read(cut.text)
    assert text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").startswith(head)


# ---- JSON of others -------------------------------------------------------------------------------------------------

FOREIGN: list[tuple[str | bytes, Sanitized]] = [
    ('{"b": 1.0, "a": [1e3, "\\u00e9"]}', Sanitized('{"b": 1.0, "a": [1e3, "\\u00e9"]}')),
    (b' {"a":1}\n', Sanitized(' {"a":1}\n')),
    ('{"a":1,"a":2}', Sanitized('{"a":1,"a":2}')),
    ('["a\\u0000"]', Sanitized('["a\\u0000"]', None, ("nul",))),
    ('{"a":NaN}', Sanitized('{"a":"NaN"}', None, ("nan",))),
    ('["\\ud800"]', Sanitized('["\ufffd"]', None, ("surrogate",))),
    ("[1e999]", Sanitized('["Infinity"]', None, ("infinite",))),
    ("not json", Sanitized('"not json"', None, ("not_json",))),
    ("", Sanitized('""', None, ("not_json",))),
    (b'"\xff"', Sanitized('"\ufffd"', None, ("surrogate",))),
    ("[[[[[[[1]]]]]]]", Sanitized('[[[[[["[cut: too deep]"]]]]]]', None, ("depth",))),
]


@pytest.mark.parametrize(("text", "clean"), FOREIGN, ids=[repr(text) for text, _ in FOREIGN])
def test_foreign_json_stays_as_it_is_if_it_reads_back(text: str | bytes, clean: Sanitized) -> None:
    """Text that every reader accepts is kept byte for byte; other text is repaired, or kept as a string."""
    assert from_json(text, SMALL) == clean


@given(st.text() | st.binary() | plain.map(json.dumps))
def test_any_foreign_text_becomes_json_that_reads_back(text: str | bytes) -> None:
    """No text of others poisons a later read."""
    clean = from_json(text, SMALL)
    read(clean.text)
    assert len(clean.text.encode()) <= SMALL.bytes


def test_a_large_foreign_text_is_cut() -> None:
    """JSON text above the limit is read, and cut as a value would be."""
    assert from_json(json.dumps(list(range(1_000))), SMALL) == to_json(list(range(1_000)), SMALL)


# ---- cost -----------------------------------------------------------------------------------------------------------


def walk(depth: int) -> Iterator[Callable[[], Any]]:
    """Values whose cost must grow with their size only."""
    yield lambda: [b"x"] * depth
    yield lambda: [{f"k{number}": {1}} for number in range(depth // 2)]
    yield lambda: dict.fromkeys(range(depth), "x")


@pytest.mark.parametrize("make", [0, 1, 2])
def test_a_walk_is_linear(make: int) -> None:
    """Eight times the nodes take less than thirty times as long."""

    def cost(size: int) -> float:
        value = list(walk(size))[make]()
        began = time.process_time()
        to_json(value)
        return time.process_time() - began

    small = max(min(cost(2_000) for _ in range(3)), 0.001)
    assert min(cost(16_000) for _ in range(3)) < 30 * small
