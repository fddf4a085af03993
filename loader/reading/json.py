"""JSON in whatever shape: an object on each line, an array of them, a document that has them.

Objects are cut out of the content first, by lines where it has one on each (`Block`), else by their
brackets (`Documents`). Arrow reads those that are as the first ones are, many at once; all others
are read one by one (`objects`).
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from loader.errors import InputError
from loader.reading import attributes, header, objects
from loader.reading.arrow import Array, ArrowError, DataType, pa, pc
from loader.reading.batch import EventBatch, Reject
from loader.reading.documents import Documents, is_document
from loader.reading.extract import Found
from loader.reading.fields import ITEMS, Node, Path, alike, arrays, chain, tree
from loader.reading.limits import too_long
from loader.reading.lines import Block, Blocks, long_lines
from loader.reading.pieces import Pieces
from loader.reading.rows import Assembler, Broken, Origins, Rows
from loader.reading.uniform import Uniform, Values, uniform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.mapping import Mapping as Meaning
    from loader.reading.streams import ByteSource

# What the database may refuse, or what is no UTF-8.
_SPECIAL: Final = re.compile(rb"\\u|[\x80-\xff]|\d{300}|[eE]\+?\d{3}")
# Behind the name of a column, for the key that has the dots of the name in itself.
_LITERAL: Final = "\0"
_NULL: Final = msgspec.Raw(b"null")
# Of a block, so many texts say how the others may look; fewer, if they are so long.
_LOOKED_AT: Final = 5
_LOOKED_INTO: Final = 1 << 16
# Units of which a binary fraction has all digits of a microsecond.
_FRACTIONS: Final = 1_000_000


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
        self._use({})
        self._is_started = False

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield batches; inside of a block, what is likely to be good comes first."""
        start = self._blocks.peek()
        header.check_text(start, self._origin)
        start = start.removeprefix(header.BOM)
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
                block = Block(b"", 1, long_lines=tuple(long))
                yield pieces, long_lines(block, self._limits) or Broken()
            return
        for block in self._blocks:
            data = block.data if self._is_started else block.data.removeprefix(header.BOM)
            found = long_lines(block, self._limits)
            yield Pieces.of_block(replace(block, data=data)), found or Broken()

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
        self._tree, self._needed, self._kept = (
            tree(
                {key: path for name in names for key, path in self._paths[name].items()},
                self._origin,
            )
            for names in (mapping.options, self._values, mapping.attributes)
        )
        self._way = chain(path for paths in self._paths.values() for path in paths.values())
        self._keys = [
            _written(step)
            for name in self._values
            for path in self._paths[name].values()
            for step in path
            if isinstance(step, str)
        ]

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
        """Read those that are uniform at once, and the others one by one."""
        are_regular = texts.are_regular(self._limits.line_bytes)
        are_left = np.ones(len(texts), np.bool_)
        regular = texts.alone(are_regular)
        if len(regular) and (look := self._look(regular)) is not None:
            found, kept, are_read = look.read(regular)
            if are_read.any():
                yield self._together(regular[are_read], found, kept, broken)
                broken = Broken()
            are_left[are_regular] = ~are_read
        if are_left.any() or broken.count or not len(texts):
            yield self._one_by_one(texts[are_left], broken)

    def _look(self, texts: Pieces) -> Uniform | None:
        """Tell from the first texts how all of them may look."""
        sizes = np.cumsum(texts.sizes[:_LOOKED_AT])
        count = 1 + int(np.searchsorted(sizes, _LOOKED_INTO))
        found = [objects.read(texts[number], ()) for number in range(min(count, len(sizes)))]
        examples = [one[0][1] for one in found if isinstance(one, list)]
        kinds = {
            key: self._kind(name, examples) for name in self._values for key in self._paths[name]
        }
        needed, kept = (_inside(node, texts.around.way) for node in (self._needed, self._kept))
        return uniform(needed, kept, kinds)

    def _kind(self, name: str, examples: Iterable[Any]) -> DataType | None:
        """Tell of which type the values of a column are; None where they are of several."""
        paths = self._paths[name].values()
        values = (
            objects.value_of(example, path, places)
            for example in examples
            for places in objects.places_in(example, chain(paths))[:_LOOKED_AT]
            for path in paths
        )
        kinds = {type(value) for value in values} - {type(None)}
        mapping, per_second = self._mapping, self.assembler.clock.per_second
        if kinds <= {str}:
            return pa.string()
        if (name,) == mapping.time_columns:
            if per_second is not None and kinds == {int} and per_second > 1:
                return pa.int64()
            is_exact = per_second is not None and per_second <= _FRACTIONS
            return pa.float64() if is_exact and kinds <= {int, objects.Number} else None
        if name in mapping.needed_columns:
            return pa.int64() if kinds == {int} else None
        if kinds == {bool}:
            return pa.bool_()
        return pa.float64() if kinds <= {int, objects.Number} else None

    def _together(self, texts: Pieces, found: Found, kept: Values, broken: Broken) -> EventBatch:
        """Return a batch of uniform objects."""
        way, count = texts.around.way, len(found.rows)
        # What stands around them all is read once.
        document = objects.document_of(texts[0]) if way else {}

        def column(name: str, columns: Mapping[str, Any]) -> Any:
            keys = self._paths[name]
            if columns.keys().isdisjoint(keys):
                return [_first(document, keys.values(), ())] * count
            return _either([columns[key] for key in keys if key in columns])

        places = [np.zeros(count, np.int64)] * way.count(ITEMS) + found.places
        origins = _Origins(
            pieces=texts,
            texts=texts,
            rows=found.rows,
            places=places,
            way=self._way,
            paths=self._paths,
        )
        return self._batch(
            {name: column(name, found.columns) for name in self._values},
            {name: column(name, kept) for name in self._mapping.attributes},
            origins,
            broken,
        )

    def _one_by_one(self, texts: Pieces, broken: Broken) -> EventBatch:
        """Return a batch of objects of any kind, and of what is none."""
        limits = self._limits
        kept: list[bytes] = []
        at: list[int] = []
        refused: list[tuple[int, str | None]] = []
        rows: list[int] = []
        places: list[tuple[int, ...]] = []
        values: dict[str, list[Any]] = {name: [] for name in self._paths}
        for number in range(len(texts)):
            size = int(texts.sizes[number])
            if size > limits.line_bytes:
                refused.append((number, too_long(size, min(size, limits.raw_bytes), limits)))
                continue
            text = texts[number]
            found = objects.read(text, self._keys)
            if found is None and not text.strip(b" \t\r\n"):
                continue
            if not isinstance(found, list):
                refused.append((number, None if found is None else found.reason))
                continue
            for piece, document in found:
                key = objects.doubled(document, self._needed)
                if key is not None:
                    refused.append((number, f'the key "{key}" is there twice'))
                    continue
                for place in objects.places_in(document, self._way):
                    rows.append(len(kept))
                    places.append(place)
                    for name, paths in self._paths.items():
                        values[name].append(_first(document, paths.values(), place))
                kept.append(piece)
                at.append(number)
        numbers = list(np.array(places, np.int64).reshape(len(rows), self._way.count(ITEMS)).T)
        origins = _Origins(
            pieces=texts[np.array(at, np.int64)],
            texts=kept,
            rows=np.array(rows, np.int64),
            places=numbers,
            way=self._way,
            paths=self._paths,
        )

        def reject(number: int, reason: str | None) -> Reject:
            text, is_cut = texts[number], int(texts.sizes[number]) > limits.line_bytes
            return Reject(
                line_number=int(texts.lines[number]),
                column_name=None,
                reason=reason or objects.why_none(text),
                raw=text[: limits.raw_bytes] if is_cut else text,
                is_cut=is_cut,
            )

        refusals = Broken(
            count=len(refused), rejects=lambda room: [reject(*one) for one in refused[:room]]
        )
        needed = {name: values[name] for name in self._values}
        members = {name: values[name] for name in self._mapping.attributes}
        return self._batch(needed, members, origins, broken + refusals)

    def _batch(
        self,
        values: Mapping[str, Any],
        members: Mapping[str, Any],
        origins: _Origins,
        broken: Broken,
    ) -> EventBatch:
        mapping = self._mapping
        columns = {name: _names(values[name]) for name in mapping.needed_columns}
        if len(mapping.time_columns) == 1:
            columns[mapping.time_column] = self._times(values[mapping.time_columns[0]])
        rows = Rows(
            columns=columns,
            compared={name: _texts(values[name]) for name in mapping.compared_columns},
            members={name: _members(one) for name, one in members.items()},
            origins=origins,
        )
        return self.assembler.batch(rows, broken)

    def _times(self, values: Sequence[Any] | Array) -> Array:
        """Times as texts; as numbers, where they all are numbers of one kind and may be."""
        kinds = set() if isinstance(values, pa.Array) else set(map(type, values)) - {type(None)}
        if self.assembler.clock.per_second is not None and kinds == {objects.Number}:
            return pa.array([None if one is None else float(one) for one in values], pa.float64())
        if self.assembler.clock.per_second is not None and kinds == {int}:
            with suppress(ArrowError, OverflowError):
                return pa.array(values, pa.int64())
        return _names(values)


@dataclass(frozen=True, kw_only=True)
class _Origins(Origins):
    """Rows that are objects, or items of arrays in them."""

    pieces: Pieces
    texts: Sequence[bytes]
    rows: NDArray[np.int64]
    places: Sequence[NDArray[np.int64]]
    way: Path
    paths: Mapping[str, Mapping[str, Path]]

    def line_number(self, row: int) -> int:
        """Return the line of a row, counted from 1 in the input."""
        mine, text, places = self._stood(row)
        within = text.count(b"\n", 0, objects.offset(text, self.way, places))
        return int(self.pieces.lines[mine]) + within

    def raw(self, row: int) -> bytes:
        """Return the object as it was read; of arrays with several items only this one."""
        _, text, places = self._stood(row)
        is_alone = not places or np.count_nonzero(self.rows == self.rows[row]) == 1
        return text if is_alone else objects.cut(text, self.way, places)

    def reason(self, row: int, column_name: str) -> str | None:
        """Return what is wrong with a value that its column does not tell."""
        mine, text, places = self._stood(row)
        document = objects.document_of(text)
        *others, path = self.paths[column_name].values()
        if others and objects.value_of(document, others[0], ()) is not None:
            path = others[0]
        numbers, is_one = self.pieces.numbers, self.pieces.around.way.count(ITEMS) == 1
        first = int(numbers[mine]) if numbers is not None and is_one else 0
        return objects.why(document, path, places, first)

    def _stood(self, row: int) -> tuple[int, bytes, list[int]]:
        mine = int(self.rows[row])
        return mine, self.texts[mine], [int(places[row]) for places in self.places]


def _paths(name: str, example: Mapping[str, Any]) -> dict[str, Path]:
    """Return the paths that may lead to a column: a key with dots in it, and then the other."""
    path = objects.as_written(name, example)
    if len(path) == 1 or arrays(path):
        return {name: path}
    return {name + _LITERAL: tuple(alike(name, example)[:1] or [name]), name: path}


def _written(key: Any) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode(errors="replace")


def _first(document: Any, paths: Iterable[Path], places: Sequence[int]) -> Any:
    """Return the first value that there is."""
    values = (objects.value_of(document, path, places) for path in paths)
    return next((value for value in values if value is not None), None)


def _either(columns: list[Any]) -> Any:
    """Return one column of those that may have its values."""
    if len(columns) == 1:
        return columns[0]
    if isinstance(columns[0], pa.Array):
        return pc.coalesce(*columns)
    return [other if one == _NULL else one for one, other in zip(*columns, strict=True)]


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
