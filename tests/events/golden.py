"""The golden samples of `tests/golden/events.jsonl`: events as versions up to now have written them.

Lines are only ever added. `python -m tests.events.golden` adds a sample for each event type that has none with every
field of today's struct set; read the new lines before you keep them. Each line holds the schema version, a name, the
event as JSON and the same event's MessagePack bytes in hex.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tachograph.events import codec, ids
from tachograph.events.codec import BODY_TYPES, SCHEMA_VERSION
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Event
from tachograph.events.note import Unknown

FILE = Path(__file__).parents[1] / "golden" / "events.jsonl"
RUN = ids.run_id(1_750_000_000_123_456_789, bytes(range(1, 7)))


class Sample(msgspec.Struct, frozen=True):
    """One line of the file."""

    name: str
    version: int
    event: dict[str, Any]
    msgpack: str

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.event["body"]["type"])

    @property
    def json(self) -> bytes:
        """The event as the line of JSON that `from_json` reads."""
        return msgspec.json.encode(self.event)

    @property
    def data(self) -> bytes:
        """The event as the bytes that `decode` reads."""
        return bytes.fromhex(self.msgpack)


def samples() -> list[Sample]:
    """All golden samples, oldest first."""
    lines = FILE.read_bytes().splitlines() if FILE.exists() else []
    return [msgspec.json.decode(line, type=Sample) for line in lines]


def uncovered() -> dict[str, type[msgspec.Struct]]:
    """Event types without a sample in which every field of today's struct is set."""
    full = {sample.type for sample in samples() if sample.version == SCHEMA_VERSION and _is_full(sample)}
    return {tag: kind for tag, kind in BODY_TYPES.items() if tag not in full}


def _is_full(sample: Sample) -> bool:
    kind = BODY_TYPES.get(sample.type)
    return kind is not None and set(kind.__struct_encode_fields__) <= sample.event["body"].keys()


def _written() -> Iterator[tuple[str, Event]]:
    known = [sample.type for sample in samples()]
    for number, (tag, kind) in enumerate(uncovered().items()):
        place = (RUN, number, 1_750_000_000_000_000_000 + number, 77_000_000_000 + number, max(0, number - 1))
        if tag not in known:
            yield f"{tag}, required fields only", Event(*place, _filled(kind, required=True))
        grown = f" of form {known.count(tag)}" if tag in known else ""
        yield f"{tag}, every field{grown}", Event(*place, _filled(kind))
    if "from_tomorrow" not in known:
        unknown = Unknown("from_tomorrow", {"depth": 3, "why": ["a", None, 1.5], "inner": {"é": "☃"}})
        yield "an unknown type", Event(RUN, 90, 1, 2, 3, unknown)
        body = _filled(BODY_TYPES["note"])
        extra = {"": {"zone": "eu"}, "body": {"weight": 0.5, "to": {"a": [1]}, "data": {"language": "de"}}}
        yield "unknown fields", Event(RUN, 91, 1, 2, 3, body, extra)


def _filled(kind: type[msgspec.Struct], *, required: bool = False) -> Any:
    fields = [field for field in msgspec.structs.fields(kind) if field.required or not required]
    return kind(**{field.name: _value(msgspec.inspect.type_info(field.type), field.name) for field in fields})


def _value(info: msgspec.inspect.Type, name: str) -> Any:
    """A value of this type that is not the default and can be told from its neighbours."""
    value: Any
    match info:
        case msgspec.inspect.UnionType(types):
            value = _value(next(each for each in types if not isinstance(each, msgspec.inspect.NoneType)), name)
        case msgspec.inspect.LiteralType(values):
            value = sorted(map(str, values))[1]
        case msgspec.inspect.VarTupleType(item):
            value = (_value(item, f"{name}1"), _value(item, f"{name}22"))
        case msgspec.inspect.DictType(_, item):
            value = {f"{name}_key": _value(item, name)}
        case msgspec.inspect.StructType(cls):
            value = _content(name) if cls is Content else _filled(cls)
        case msgspec.inspect.StrType():
            value = f"a {name} ☃"
        case msgspec.inspect.BoolType():
            value = True
        case msgspec.inspect.FloatType():
            value = len(name) + 0.25
        case _:
            value = 1_000 + sum(name.encode())
    return value


def _content(name: str) -> Content:
    text = inline(f'{{"{name}": [1, "zwölf"]}}', full_size=4_000, redacted={"email": 2}, marks=("cut", "nan"))
    by_hash = Content(hash=bytes(range(32)).hex(), size=70_000, level="redacted")
    return by_hash if name in ("message", "output") else text


def main() -> None:
    """Add what is missing."""
    FILE.parent.mkdir(exist_ok=True)
    new = [
        Sample(name, SCHEMA_VERSION, msgspec.json.decode(codec.to_json(event)), codec.encode(event).hex())
        for name, event in _written()
    ]
    with FILE.open("ab") as file:
        for sample in new:
            file.write(msgspec.json.encode(sample) + b"\n")
    print(f"{len(new)} samples added to {FILE}")


if __name__ == "__main__":
    main()
