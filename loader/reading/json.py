"""JSON in whatever shape: an object on each line, an array of them, a document that has them.

Objects are cut out of the content first, by lines where it has one on each (`Block`), else by their
brackets (`Documents`). Arrow reads those that are as the first ones are, many at once; all others
are read one by one (`objects`).
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from loader.errors import InputError
from loader.reading import attributes, header, objects
from loader.reading.arrow import Array, ArrowError, pa, pc
from loader.reading.batch import EventBatch, Reject
from loader.reading.documents import Documents, is_document
from loader.reading.extract import Events, extract
from loader.reading.fields import ITEMS, Node, Path, alike, arrays, chain, tree
from loader.reading.limits import too_long
from loader.reading.lines import Blocks
from loader.reading.pieces import Pieces
from loader.reading.rows import Assembler, Broken, Origins, Rows
from loader.reading.uniform import Uniform
from loader.reading.unpack import NULL, Unpacker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.mapping import Mapping as Meaning
    from loader.reading.streams import ByteSource

# What the database may refuse, or what is no UTF-8.
_SPECIAL: Final = re.compile(rb"\\u|[\x80-\xff]|\d{300}|[eE]\+?\d{3}")
# Behind the name of a column: for the key that has the dots of the name in itself; and for the text
# of a value, as it is written.
_LITERAL: Final = "\0"
_KEPT: Final = "\0\0"
# Below it, a binary fraction has every whole number.
_EXACT: Final = 1 << 53


class JsonReader:
    """Reads JSON in constant memory; iterate once.

    Raises:
        InputError: on iterating, when it is something else altogether.
    """

    header: bytes | None = None

    def __init__(self, content: ByteSource, mapping: Meaning, limits: Limits, origin: str) -> None:
        self._content = content
        self._blocks = Blocks(content, limits)
        self._mapping = mapping
        self._limits = limits
        self._origin = origin
        self.assembler = Assembler(mapping, limits)
        self._uniform = Uniform(mapping, self.assembler.clock.per_second)
        self._use({})
        self._is_started = False

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield batches; inside of a block, what is likely to be good comes first."""
        start = self._blocks.peek()
        header.check_text(start, self._origin)
        is_empty = not start.lstrip().startswith(b"[")
        for pieces, before in self._pieces(start):
            is_empty = is_empty and not pieces.data.strip() and not before.count
            if not self._is_started:
                self._start(pieces)
            yield from self._batches(pieces, before)
        if is_empty:
            raise InputError(f"{self._origin}: is empty")

    def _pieces(self, start: bytes) -> Iterator[tuple[Pieces, Broken]]:
        """Cut the content into texts that should be an object each."""
        if is_document(start, self._limits.line_bytes):
            documents = Documents(self._content, start, self._limits, self._origin)
            documents.paths = [list(paths.values()) for paths in self._paths.values()]
            documents.wanted = self._tree
            documents.way = self._way
            for pieces, long in documents:
                yield pieces, Broken.of(long)
            return
        for block in self._blocks:
            yield Pieces.of_block(block), Broken.of(block.long_lines)

    def read_messages(self, messages: Pieces, broken: Broken) -> Iterator[EventBatch]:
        """Yield batches of messages, of which each stands for itself, behind what is no text.

        Unlike with a file, none says how the others are written: keys match exactly, and there may
        be no object among them at all.
        """
        return self._batches(messages, broken)

    def _use(self, example: Mapping[str, Any]) -> None:
        """Decide where the columns are, from how an object has them."""
        mapping = self._mapping
        self._paths = {name: _paths(name, example) for name in mapping.options}
        self._values = dict.fromkeys((*mapping.needed_columns, *mapping.compared_columns))
        self._tree = self._node(mapping.options)
        self._needed = self._node(self._values)
        self._unpackers: dict[Path, Unpacker | None] = {}
        self._way = chain(path for paths in self._paths.values() for path in paths.values())
        self._keys = [
            _written(step)
            for name in self._values
            for path in self._paths[name].values()
            for step in path
            if isinstance(step, str)
        ]

    def _node(self, names: Iterable[str], kept: Iterable[str] = ()) -> Node:
        """Return what is wanted of an object: values, and texts as they are written."""
        found = {key: path for name in names for key, path in self._paths[name].items()}
        found |= {key + _KEPT: path for name in kept for key, path in self._paths[name].items()}
        return tree(found, self._origin)

    def _start(self, texts: Pieces) -> None:
        """Look at the first objects, for how the keys are written."""
        self._is_started = True
        why = ""
        for number in range(len(texts)):
            text = texts[number]
            if not text.strip():
                continue
            found = objects.read_slowly(text)
            if not isinstance(found, objects.NotAnObject):
                self._use(found[0][1])
                return
            if not why:
                why = f"line {texts.lines[number]}: {found.reason}"
                why += "" if b"{" in text else "; is it another --format?"
        if why:
            raise InputError(f"{self._origin}: no line is a JSON object; {why}")

    def _batches(self, texts: Pieces, broken: Broken) -> Iterator[EventBatch]:
        """Read those that are plain all at once, and the others one by one."""
        are_regular = texts.are_regular(self._limits.line_bytes)
        # A gigabyte of empty lines is no work.
        are_left = texts.sizes > 0
        regular = texts.alone(are_regular)
        if len(regular):
            batch, are_read = self._together(regular, broken)
            if batch is not None:
                yield batch
                broken = Broken()
            are_left[are_regular] = ~are_read
        if are_left.any() or broken.count or not len(texts):
            yield self._one_by_one(texts[are_left], broken)

    def _together(
        self, texts: Pieces, broken: Broken
    ) -> tuple[EventBatch | None, NDArray[np.bool_]]:
        """Return a batch of objects, and which of them it has."""
        way = texts.around.way
        found: Mapping[str, Any]
        node = _inside(self._needed, way)
        is_quick = not self._mapping.attributes
        if is_quick and (batch := self._uniform.read(texts, node)) is not None:
            found, events = extract(node, batch)
            are_read = np.ones(len(texts), np.bool_)
        elif (unpacker := self._unpacker(way)) is not None:
            found, events, are_read = unpacker.read(texts)
        else:
            are_read = np.zeros(len(texts), np.bool_)
        if not are_read.any():
            return None, are_read
        # What stands around them all is read once.
        document = [objects.document_of(texts[int(are_read.argmax())])] if way else []
        count = len(events.levels[0])

        def column(name: str, kept: str = "") -> Any:
            columns = [
                found[key + kept]
                if key + kept in found
                else objects.values_of(document, path) * count
                for key, path in self._paths[name].items()
            ]
            return _either([one for one in columns if len(one)] or [[None] * count])

        columns = {name: column(name) for name in self._values}
        members = {name: column(name, _KEPT) for name in self._mapping.attributes}
        events.places[:0] = [np.zeros(count, np.int64)] * way.count(ITEMS)
        origins = _Origins(self._paths, self._way, texts, texts, events)
        return self._batch(columns, members, origins, broken), are_read

    def _unpacker(self, way: Path) -> Unpacker | None:
        """Return what unpacks the items to which a way leads; None where nothing does."""
        if way not in self._unpackers:
            node = _inside(self._node(self._values, self._mapping.attributes), way)
            self._unpackers[way] = None
            # A key may be one that no class can have.
            with suppress(ValueError):
                self._unpackers[way] = Unpacker(node, lambda name: name.endswith(_KEPT))
        return self._unpackers[way]

    def _one_by_one(self, texts: Pieces, broken: Broken) -> EventBatch:
        """Return a batch of objects of any kind, and of what is none."""
        limits = self._limits
        kept: list[bytes] = []
        documents: list[Any] = []
        at: list[int] = []
        refused: list[tuple[int, str | None, bytes, Sequence[int]]] = []
        for number, (size, text) in enumerate(zip(texts.sizes.tolist(), texts, strict=True)):
            if size > limits.line_bytes:
                reason = too_long(size, min(size, limits.raw_bytes), limits)
                refused.append((number, reason, text, ()))
                continue
            found = objects.read(text, self._needed, self._keys)
            if found is None and text.strip(b" \t\r\n"):
                refused.append((number, None, text, ()))
            for piece, document in found or ():
                if isinstance(document, objects.NotAnObject):
                    refused.append((number, document.reason, text, ()))
                    continue
                kept.append(piece)
                documents.append(document)
                at.append(number)
        events = objects.events_in(documents, self._way)
        values = {
            name: _either(
                [
                    events.spread(objects.values_of(documents, path), path.count(ITEMS))
                    for path in paths.values()
                ]
            )
            for name, paths in self._paths.items()
        }
        are_good = np.ones(len(events.levels[0]), np.bool_)
        doubtful = [isinstance(one, objects.Doubtful) for one in documents]
        for event in np.flatnonzero(np.array(doubtful, np.bool_)[events.levels[0]]).tolist():
            row, places = events.stood(event)
            key = objects.doubled_in_item(documents[row], self._needed, self._way, places)
            if key is not None:
                are_good[event] = False
                refused.append((at[row], objects.TWICE.format(key), kept[row], places))
        if not are_good.all():
            values = {name: list(compress(one, are_good)) for name, one in values.items()}
            events.keep(are_good)
        stood = texts[np.array(at, np.int64)]
        origins = _Origins(self._paths, self._way, stood, kept, events)

        def reject(number: int, reason: str | None, text: bytes, places: Sequence[int]) -> Reject:
            is_cut = int(texts.sizes[number]) > limits.line_bytes
            within = text.count(b"\n", 0, objects.offset(text, self._way, places) if places else 0)
            raw = objects.cut(text, self._way, places)
            return Reject(
                line_number=int(texts.lines[number]) + within,
                column_name=None,
                reason=reason or objects.why_none(text),
                raw=raw[: limits.raw_bytes] if is_cut else raw,
                is_cut=is_cut,
            )

        refusals = Broken(
            count=len(refused), rejects=lambda room: [reject(*one) for one in refused[:room]]
        )
        return self._batch(values, values, origins, broken + refusals)

    def _batch(
        self,
        values: Mapping[str, Any],
        members: Mapping[str, Any],
        origins: Origins,
        broken: Broken,
    ) -> EventBatch:
        mapping = self._mapping
        columns = {name: _names(values[name]) for name in mapping.needed_columns}
        if len(mapping.time_columns) == 1:
            columns[mapping.time_column] = self._times(values[mapping.time_columns[0]])
        rows = Rows(
            columns=columns,
            compared={name: _texts(values[name]) for name in mapping.compared_columns},
            members={name: _members(members[name]) for name in mapping.attributes},
            origins=origins,
        )
        return self.assembler.batch(rows, broken)

    def _times(self, values: Sequence[Any] | Array) -> Array:
        """Times as texts; as numbers, where they all are numbers and may be."""
        kinds = set() if isinstance(values, pa.Array) else set(map(type, values)) - {type(None)}
        per_second = self.assembler.clock.per_second
        if per_second is None or not kinds or not kinds <= {int, float, objects.Number}:
            return _names(values)
        with suppress(ArrowError, OverflowError):
            if kinds == {int}:
                return pa.array(values, pa.int64())
            if int not in kinds or all(one is None or abs(one) < _EXACT for one in values):
                return pa.array([None if one is None else float(one) for one in values])
        return _names(values)


@dataclass(frozen=True)
class _Origins(Origins):
    """Rows that are objects, or items of arrays in them."""

    paths: Mapping[str, Mapping[str, Path]]
    way: Path
    pieces: Pieces
    texts: Sequence[bytes]
    events: Events

    def line_number(self, row: int) -> int:
        """Return the line of a row, counted from 1 in the input."""
        mine, places = self.events.stood(row)
        text = self.texts[mine]
        within = text.count(b"\n", 0, objects.offset(text, self.way, places))
        return int(self.pieces.lines[mine]) + within

    def raw(self, row: int) -> bytes:
        """Return the object as it was read; of arrays with several items only this one."""
        mine, places = self.events.stood(row)
        text = self.texts[mine]
        return text if self.events.is_alone(row) else objects.cut(text, self.way, places)

    def reason(self, row: int, column_name: str) -> str | None:
        """Return what is wrong with a value that its column does not tell."""
        mine, places = self.events.stood(row)
        document = objects.document_of(self.texts[mine])
        *others, path = self.paths[column_name].values()
        if others and objects.value_of(document, others[0], ()) is not None:
            path = others[0]
        numbers, is_one = self.pieces.numbers, self.pieces.around.way.count(ITEMS) == 1
        first = int(numbers[mine]) if numbers is not None and is_one else 0
        return objects.why(document, path, places, first)


def _paths(name: str, example: Mapping[str, Any]) -> dict[str, Path]:
    """Return the paths that may lead to a column: a key with dots in it, and then the other."""
    path = objects.as_written(name, example)
    if len(path) == 1 or arrays(path):
        return {name: path}
    return {name + _LITERAL: tuple(alike(name, example)[:1] or [name]), name: path}


def _written(key: Any) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode(errors="replace")


def _either(columns: list[Any]) -> Any:
    """Return one column of those that may have its values."""
    first, *others = columns
    if not others:
        return first
    if isinstance(first, pa.Array):
        if first.null_count == len(first):
            return others[0]
        if first.type == others[0].type:
            return pc.coalesce(*columns)
        columns = [one.to_pylist() for one in columns]
    none = (None, NULL)
    return [other if one in none else one for one, other in zip(*columns, strict=True)]


def _inside(node: Node, way: Path) -> Node:
    """Return what is wanted of the items to which a way leads."""
    for step in way:
        found = node.items if step is ITEMS else node.keys.get(step)
        node = found or Node()
    return node


def _names(values: Sequence[Any] | Array) -> Array:
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, pa.string())
    except (ArrowError, TypeError, UnicodeEncodeError):
        return pa.array([objects.text(value) for value in values], pa.binary())


def _texts(values: Sequence[Any] | Array) -> Array:
    """Values as texts to compare with; what is true or false too."""
    if isinstance(values, pa.Array):
        return values
    return _names([str(one).lower() if isinstance(one, bool) else one for one in values])


def _members(values: Sequence[Any]) -> attributes.Member:
    """Return values as JSON, null for those that are, and which of them cannot be kept."""
    texts = [
        bytes(one)
        if type(one) is msgspec.Raw
        else attributes.dump(one).encode("utf-8", "surrogatepass")
        for one in values
    ]
    faulty: Array | None = None
    if _SPECIAL.search(b"\n".join(texts)):
        kept = [attributes.kept(one) if _SPECIAL.search(one) else one for one in texts]
        faulty = pa.array([one is None for one in kept])
        texts = [one or b"null" for one in kept]
    column = pa.array(texts, pa.binary()).cast(pa.string())
    return pc.if_else(pc.equal(column, "null"), pa.scalar(None, pa.string()), column), faulty
