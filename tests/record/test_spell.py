from __future__ import annotations

import dataclasses
import enum
import re
from collections import Counter, OrderedDict, UserDict, deque, namedtuple
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tachograph.record.spell import Items, Members, Spelled, spell, text_of, valid_text

ONE = UUID(int=1)


class Colour(enum.Enum):
    """An enumeration of strings."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration that is an int."""

    HIGH = 3


class Word(str):
    """A string whose `str` must not be asked for."""

    def __str__(self) -> str:
        raise AssertionError("the text of a string is not asked for")


class Point(msgspec.Struct):
    """A struct."""

    x: int
    y: Any = None


@dataclasses.dataclass
class Pair:
    """A dataclass."""

    left: int
    right: Any = dataclasses.field(default=None)


class Model:
    """Answers as pydantic's models do."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self) -> dict[str, Any]:
        """The fields."""
        return self.fields


class Scalar:
    """Answers as numpy's scalars and arrays do."""

    dtype = "int64"

    def __init__(self, value: Any, size: int = 1) -> None:
        self.value, self.size, self.shape = value, size, (size,)

    def tolist(self) -> Any:
        """The value, in Python's own types."""
        return self.value


class Hostile:
    """Raises whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


class HostileList(list[int]):
    """A list whose own methods raise."""

    def __iter__(self) -> Iterator[int]:
        raise RuntimeError("no iteration")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class HostileDict(dict[str, int]):
    """A dict whose own methods raise."""

    def items(self) -> Any:
        """Nobody gets them."""
        raise RuntimeError("no items")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no iteration")


Named = namedtuple("Named", "a b")

SPELLINGS: list[tuple[Any, Spelled]] = [
    (Word("as it is"), Spelled("as it is")),
    (Level.HIGH, Spelled(3)),
    (Colour.RED, Spelled("red")),
    (True, Spelled(1)),
    ({"b": 1, "a": 2}, Spelled(Members([("b", 1), ("a", 2)], 2))),
    (OrderedDict(a=1), Spelled(Members([("a", 1)], 1))),
    (Counter("aab"), Spelled(Members([("a", 2), ("b", 1)], 2))),
    (UserDict(a=1), Spelled(Members([("a", 1)], 1))),
    (HostileDict(a=1), Spelled(Members([("a", 1)], 1))),
    ((1, 2), Spelled(Items([1, 2], 2))),
    (Named(1, 2), Spelled(Items([1, 2], 2))),
    (HostileList([1, 2]), Spelled(Items([1, 2], 2))),
    (deque([1, 2]), Spelled(Items([1, 2], 2))),
    ({"a": 1}.keys(), Spelled(Items(["a"], 1))),
    ({"b", "a", "c"}, Spelled(Items(["a", "b", "c"], 3), "set")),
    (frozenset({3, 1, 2}), Spelled(Items([1, 2, 3], 3), "set")),
    (b"plain text", Spelled("plain text", "bytes")),
    (bytearray("né".encode()), Spelled("né", "bytes")),
    (memoryview(b"ab"), Spelled("ab", "bytes")),
    (b"mostly te\xfft, some of it not", Spelled("mostly te\ufffdt, some of it not", "bytes")),
    (b"\x89\xff\xfe\x00", Spelled("base64:if/+AA==", "binary")),
    (datetime(2026, 1, 2, 3, 4, 5), Spelled("2026-01-02T03:04:05", "naive")),  # noqa: DTZ001 - on purpose
    (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), Spelled("2026-01-02T03:04:05.000006+00:00")),
    (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), Spelled("2026-01-02T00:00:00+02:00")),
    (date(2026, 1, 2), Spelled("2026-01-02")),
    (time(3, 4), Spelled("03:04:00")),
    (timedelta(days=1, seconds=2), Spelled("1 day, 0:00:02")),
    (ONE, Spelled("00000000-0000-0000-0000-000000000001")),
    (Decimal("1.10"), Spelled("1.10")),
    (PurePosixPath("/a/b"), Spelled("/a/b")),
    (Point(1, [2]), Spelled(Members([("x", 1), ("y", [2])], 2))),
    (Pair(1, {2}), Spelled(Members([("left", 1), ("right", {2})], 2))),
    (Model(a=1), Spelled({"a": 1})),
    (Scalar(7), Spelled(7)),
    (Scalar([1, 2], 2), Spelled([1, 2])),
    (Scalar(None, 5_000), Spelled("[Scalar of int64, shape (5000,)]", "cut")),
    (ValueError("bad"), Spelled(Members([("type", "ValueError"), ("message", "bad")], 2))),
    (dict, Spelled("builtins.dict", "repr")),
    (range(3), Spelled("range(0, 3)", "repr")),
    (object(), Spelled("<object object>", "repr")),
    (..., Spelled("Ellipsis", "repr")),
]


@pytest.mark.parametrize(
    ("value", "spelled"),
    SPELLINGS,
    ids=[f"{number} {type(value).__name__}" for number, (value, _) in enumerate(SPELLINGS)],
)
def test_each_kind_of_object_has_its_spelling(value: Any, spelled: Spelled) -> None:
    """Collections, times, ids, models, arrays, errors and the rest come out as the nearest thing JSON has."""
    assert spell(value, 1_000) == spelled


def test_iterators_are_never_advanced() -> None:
    """A generator, an iterator and a file-like object are described, and give all they had afterwards."""
    generator = (number for number in range(3))
    iterator = iter([1, 2, 3])
    spelled = spell(generator, 10), spell(iterator, 10), spell(map(str, [1]), 10)
    assert [item.value for item in spelled] == [
        "<generator object test_iterators_are_never_advanced.<locals>.<genexpr>>",
        "<list_iterator object>",
        "<map object>",
    ]
    assert (list(generator), list(iterator)) == ([0, 1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    "error", [ValueError("no"), RecursionError(), SystemExit(1), GeneratorExit(), AttributeError()]
)
def test_an_object_whose_repr_raises_is_named_by_its_type(error: BaseException) -> None:
    """Whatever `repr` raises, the object is named by its class, and marked."""
    name = f"<class '{__name__}.Hostile': repr raised {type(error).__name__}>"
    assert spell(Hostile(error), 10) == Spelled(name, "repr_failed")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_interrupts_and_lack_of_memory_pass_through(error: BaseException) -> None:
    """A user who presses Ctrl-C, and a process without memory, are not recorded away."""
    with pytest.raises(type(error)):
        spell(Hostile(error), 10)


def test_a_field_that_raises_does_not_cost_the_others() -> None:
    """Of a dataclass with a field that cannot be read the other fields are kept, and it is marked."""

    @dataclasses.dataclass
    class Lazy:
        a: int = 1
        b: int = 2

        def __getattribute__(self, name: str) -> Any:
            if name == "b":
                raise OSError("gone")
            return super().__getattribute__(name)

    assert spell(Lazy(), 10) == Spelled(Members([("a", 1), ("b", "[unreadable: OSError]")], 2), "unreadable")


def test_a_model_that_raises_is_described() -> None:
    """A `model_dump` that raises costs the fields, not the object."""

    class Broken(Model):
        def model_dump(self) -> dict[str, Any]:
            raise TypeError("not now")

        def __repr__(self) -> str:
            return "Broken()"

    assert spell(Broken(), 10) == Spelled("Broken()", "repr")


def test_only_the_first_parts_are_taken() -> None:
    """Of a large collection only as many parts are copied as there is room for, with the true number beside them."""
    assert spell(list(range(1_000)), 2) == Spelled(Items([0, 1], 1_000))
    assert spell(dict.fromkeys(range(1000)), 1) == Spelled(Members([(0, None)], 1_000))


def test_text_of_any_object() -> None:
    """A string is itself, everything else its `repr` without the address, and nothing raises."""
    assert text_of("as it is") == "as it is"
    assert text_of(Word("word")) == "word"
    assert text_of([1]) == "[1]"
    assert re.fullmatch(r"<class '.*Hostile': repr raised ValueError>", text_of(Hostile(ValueError())))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("plain", "plain"),
        ("né 鍵", "né 鍵"),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("a\0b", "a\0b"),
    ],
)
def test_valid_text_can_be_encoded(text: str, valid: str) -> None:
    """Halves of a pair are joined, lone surrogates replaced; everything else stays."""
    assert valid_text(text) == valid
    assert valid_text(text, nul=False) == valid.replace("\0", "\ufffd")
