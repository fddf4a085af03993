"""JSON in whatever shape: an object on each line, an array of them, a document that has them.

Objects are cut out of the content first, by lines where it has one on each (`Block`), else by their
brackets (`documents`). msgspec decodes all that a block has at once (`extract`); the objects of a
block that it refuses are decoded one by one, and those that it refuses alone are read by Python
(`objects`), which has the last word on what an object is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from loader.errors import InputError
from loader.reading import attributes, header, objects
from loader.reading.arrow import Array, ArrowError, Schema, arrow_json, pa, pc
from loader.reading.batch import EventBatch, Reject
from loader.reading.documents import Documents, is_document
from loader.reading.extract import ERRORS, Extractor, cut, offset
from loader.reading.fields import Found, Node, Path, alike, arrays, chain, tree
from loader.reading.limits import too_long
from loader.reading.lines import Block, Blocks, long_lines
from loader.reading.pieces import Pieces
from loader.reading.rows import Assembler, Broken, Origins, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loader.reading.limits import Limits
    from loader.reading.mapping import Mapping as Meaning
    from loader.reading.streams import ByteSource
    from loader.reading.times import Clock

# What Python reads and msgspec does not.
_BEYOND: Final = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]|[\x80-\xff]|\d{300}|[eE]\+?\d{3}")
# What the database may refuse, or what is no UTF-8.
_SPECIAL: Final = re.compile(rb"\\u|[\x80-\xff]|\d{300}|[eE]\+?\d{3}")
_BETWEEN: Final = re.compile(rb"\}[ \t]*\{")
_NULL: Final = msgspec.Raw(b"null")
_NUMBERS: Final = {int: pa.int64(), float: pa.float64()}


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
            is_empty = is_empty and not pieces.data.strip() and before is None
            if not self._is_started:
                self._start(pieces)
            first, *others = pieces.apart()
            yield self._batch(first, before)
            yield from (self._batch(part, None) for part in others)
        if is_empty:
            raise InputError(f"{self._origin}: is empty")

    def _pieces(self, start: bytes) -> Iterator[tuple[Pieces, Broken | None]]:
        """Cut the content into texts that should be an object each."""
        if is_document(start, self._limits.line_bytes):
            documents = Documents(self._content, start, self._limits, self._origin)
            documents.way, documents.wanted = self._way, self._tree
            for cut in documents:
                block = Block(b"", 1, long_lines=tuple(cut.long))
                yield Pieces.of_pieces(cut.pieces, cut.lines), long_lines(block, self._limits)
            return
        for block in self._blocks:
            data = block.data if self._is_started else block.data.removeprefix(header.BOM)
            found = long_lines(block, self._limits)
            yield Pieces.of_block(replace(block, data=data)), found

    def read_messages(self, messages: Pieces, broken: Broken) -> EventBatch:
        """Return a batch of messages, of which each stands for itself, behind what is no text.

        Unlike with a file, none says how the others are written: keys match exactly, and there may
        be no object among them at all.
        """
        return self._batch(messages, broken)

    def _use(self, example: Mapping[str, Any]) -> None:
        """Decide where the columns are, from how an object has them."""
        mapping = self._mapping
        self._paths = {name: objects.as_written(name, example) for name in mapping.options}
        # A key that has the dots in itself comes before what the path leads to.
        self._literals = {
            name: f"{name}\0"
            for name, path in self._paths.items()
            if len(path) > 1 and not arrays(path)
        }
        literals: dict[str, Path] = {
            key: tuple(alike(name, example)[:1] or [name]) for name, key in self._literals.items()
        }
        self._tree = tree(self._paths | literals, self._origin)
        raw = {*mapping.attributes} - {*mapping.needed_columns, *mapping.compared_columns}
        raw |= {key for name, key in self._literals.items() if name in raw}
        self._extractor = Extractor(self._tree, frozenset(raw))
        self._way = chain(self._paths.values())
        self._schema: Schema | None = None
        if set(mapping.options) == set(mapping.needed_columns) and not self._literals:
            keys = self._tree.keys
            if not any(node.items for node in keys.values()):
                self._schema = pa.schema([(key, pa.string()) for key in keys])

    def _start(self, texts: Pieces) -> None:
        """Look at the first objects, for how the keys are written."""
        self._is_started = True
        why = ""
        for number in range(len(texts)):
            text = texts[number]
            if not text.strip():
                continue
            found = objects.read(text)
            if not isinstance(found, objects.NotAnObject):
                self._use(found[0][1])
                return
            if not why:
                why = f"line {texts.line_number(number)}: {found.reason}"
                why += "" if b"{" in text else "; is it another --format?"
        if why:
            raise InputError(f"{self._origin}: no line is a JSON object; {why}")

    def _batch(self, texts: Pieces, before: Broken | None) -> EventBatch:
        found, columns = self._read_plain(texts) or self._read(texts)
        values = {name: columns.columns[name] for name in self._paths}
        for name, literal in self._literals.items():
            values[name] = _either(columns.columns[literal], values[name])
        mapping = self._mapping
        needed = {name: _names(values[name]) for name in mapping.needed_columns}
        if len(mapping.time_columns) == 1:
            needed[mapping.time_column] = _times(
                values[mapping.time_columns[0]], self.assembler.clock
            )
        rows = Rows(
            columns=needed,
            compared={name: _texts(values[name]) for name in mapping.compared_columns},
            members={name: _members(values[name]) for name in mapping.attributes},
            origins=_Origins(found, columns, self._way, self._paths),
        )
        return self.assembler.batch(rows, found.broken(before, self._limits))

    def _read(self, texts: Pieces) -> tuple[_Decoded, Found]:
        found = _decode(texts, self._extractor.decoder, self._limits)
        columns = self._extractor.columns(found.rows, found.texts, found.data)
        if columns.doubtful:
            found.settle(columns.doubtful, self._tree, self._extractor.decoder)
            columns = self._extractor.columns(found.rows, found.texts, found.data)
        return found, columns

    def _read_plain(self, texts: Pieces) -> tuple[_Decoded, Found] | None:
        """Let Arrow read texts at the top, which it does while another thread uses Python."""
        if self._schema is None or not texts.are_regular(self._limits.line_bytes):
            return None
        try:
            table = arrow_json.read_json(
                pa.BufferReader(texts.data),
                read_options=arrow_json.ReadOptions(
                    use_threads=False, block_size=len(texts.data) + 1
                ),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=self._schema, unexpected_field_behavior="ignore"
                ),
            )
        except (ArrowError, UnicodeDecodeError):
            return None
        if len(table) != len(texts):
            return None
        columns = {name: table[str(path[0])].combine_chunks() for name, path in self._paths.items()}
        found = _Decoded(texts)
        found.texts, found.at = texts, range(len(texts))
        rows = np.arange(len(texts))
        return found, Found(columns=columns, rows=rows, places=[], doubtful=set())


class _Decoded:
    """What became of texts.

    Attributes:
        source: the texts.
        rows: the objects.
        texts: the text of each object; as it stood there.
        data: all of these texts.
        at: which of the source each was.
        refused: which are none, and why; None for what is to be found out if somebody asks.
    """

    def __init__(self, source: Pieces) -> None:
        self.source = source
        self.rows: list[Any] = []
        self.texts: Sequence[bytes] = []
        self.at: Sequence[int] = []
        self.data = source.data
        self.refused: list[tuple[int, bytes, str | None]] = []

    def settle(self, doubtful: Iterable[int], wanted: Node, decoder: Any) -> None:
        """Let Python look at objects."""
        dropped = set()
        for row in doubtful:
            text = self.texts[row]
            found = objects.parse_one(text)
            if isinstance(found, objects.NotAnObject):
                reason: str | None = found.reason
            else:
                key = objects.doubled(found, wanted)
                reason = None if key is None else f'the key "{key}" is there twice'
                if reason is None and not _is_plain(text):
                    self.rows[row] = decoder.decode(objects.clean(found))
            if reason is not None:
                self.refused.append((self.at[row], text, reason))
                dropped.add(row)
        kept = [row for row in range(len(self.rows)) if row not in dropped]
        self.rows = [self.rows[row] for row in kept]
        self.texts = [self.texts[row] for row in kept]
        self.at = [self.at[row] for row in kept]
        self.data = b"\n".join(self.texts)

    def broken(self, before: Broken | None, limits: Limits) -> Broken:
        """Return the texts that are no objects, behind what was wrong already."""

        def rejects(room: int) -> Sequence[Reject]:
            first = list(before.rejects(room)) if before is not None else []
            return first + [self._reject(*one, limits) for one in sorted(self.refused)[:room]]

        count = len(self.refused) + (before.count if before is not None else 0)
        return Broken(count=count, rejects=rejects)

    def _reject(self, at: int, text: bytes, reason: str | None, limits: Limits) -> Reject:
        is_cut = len(text) > limits.line_bytes
        return Reject(
            line_number=self.source.line_number(at),
            column_name=None,
            reason=reason or objects.why_none(text),
            raw=text[: limits.raw_bytes] if is_cut else text,
            is_cut=is_cut,
        )


def _is_plain(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except ERRORS:
        return False
    return True


def _decode(texts: Pieces, decoder: Any, limits: Limits) -> _Decoded:
    """Decode texts, all at once if possible."""
    found = _Decoded(texts)
    if texts.are_regular(limits.line_bytes):
        try:
            rows = decoder.decode_lines(texts.data)
        except ERRORS:
            rows = []
        if len(rows) == len(texts):
            found.rows, found.texts, found.at = rows, texts, range(len(rows))
            return found
    _decode_each(texts, decoder, limits, found)
    return found


def _decode_each(texts: Pieces, decoder: Any, limits: Limits, found: _Decoded) -> None:
    kept: list[bytes] = []
    at: list[int] = []
    decode, data, too_deep = decoder.decode, texts.data, texts.too_deep
    spans = zip(texts.starts.tolist(), texts.ends.tolist(), strict=True)
    for number, (start, end) in enumerate(spans):
        text = data[start:end]
        if end - start > limits.line_bytes:
            reason = too_long(len(text), min(len(text), limits.raw_bytes), limits)
            found.refused.append((number, text, reason))
            continue
        if number in too_deep:
            found.refused.append((number, text, None))
            continue
        try:
            found.rows.append(decode(text))
        except ERRORS as error:
            if not text.strip(b" \t\r\n"):
                continue
            pieces = _by_hand(text, error, decoder)
            if pieces is None:
                found.refused.append((number, text, None))
                continue
            for piece, row in pieces:
                kept.append(piece)
                at.append(number)
                found.rows.append(row)
        else:
            kept.append(text)
            at.append(number)
    found.texts, found.at, found.data = kept, at, b"\n".join(kept)


def _by_hand(text: bytes, error: Exception, decoder: Any) -> Iterable[tuple[bytes, Any]] | None:
    """Read what is not one object that msgspec takes; None where there is none."""
    if "trailing characters" in str(error):
        # What is between two objects; inside a text a line feed would be no JSON.
        lines = _BETWEEN.sub(b"}\n{", text)
        try:
            return list(zip(lines.split(b"\n"), decoder.decode_lines(lines), strict=True))
        except (*ERRORS, ValueError):
            pass
    elif isinstance(error, msgspec.DecodeError) and not _BEYOND.search(text):
        return None
    found = objects.read(text)
    if isinstance(found, objects.NotAnObject):
        return None
    if len(found) == 1:
        # With the blanks around it, as for one that msgspec takes.
        found = [(text, found[0][1])]
    return [(piece, decoder.decode(objects.clean(document))) for piece, document in found]


@dataclass(frozen=True)
class _Origins(Origins):
    """Rows that are objects, or items of arrays in them."""

    decoded: _Decoded
    found: Found
    way: Path
    paths: Mapping[str, Path]

    def line_number(self, row: int) -> int:
        """Return the line of a row, counted from 1 in the input."""
        mine = self.found.rows[row]
        text = self.decoded.texts[mine]
        within = text.count(b"\n", 0, offset(text, self.way, self.found.places_of(row)))
        line: int = self.decoded.source.line_number(self.decoded.at[mine]) + within
        return line

    def raw(self, row: int) -> bytes:
        """Return the object as it was read; of arrays with several items only this one."""
        text = self.decoded.texts[self.found.rows[row]]
        return text if self.found.is_alone(row) else cut(text, self.way, self.found.places_of(row))

    def reason(self, row: int, column_name: str) -> str | None:
        """Return what is wrong with a value that its column does not tell."""
        document = objects.parse_one(self.decoded.texts[self.found.rows[row]])
        path = self.paths[column_name]
        return objects.why(document, path, self.found.places_of(row))


def _either(first: Sequence[Any], second: Sequence[Any]) -> Sequence[Any]:
    """Return what is not missing; missing is None, or null as a text."""
    if first.count(None) + first.count(_NULL) == len(first):
        return second
    none = (None, _NULL)
    return [other if one in none else one for one, other in zip(first, second, strict=True)]


def _names(values: Sequence[Any] | Array) -> Array:
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, pa.string())
    except (ArrowError, TypeError):
        return pa.array([objects.text(value) for value in values], pa.binary())


def _texts(values: Sequence[Any]) -> Array:
    """Values as texts to compare with; what is true or false too."""
    return _names([str(one).lower() if isinstance(one, bool) else one for one in values])


def _times(values: Sequence[Any] | Array, clock: Clock) -> Array:
    """Times as texts; as numbers, where they all are numbers of one kind and may be."""
    kinds = set() if isinstance(values, pa.Array) else set(map(type, values)) - {type(None)}
    if clock.per_second is not None and len(kinds) == 1 and kinds <= _NUMBERS.keys():
        try:
            return pa.array(values, _NUMBERS[kinds.pop()])
        except (ArrowError, OverflowError):
            pass
    return _names(values)


def _members(values: Sequence[Any]) -> attributes.Member:
    """Return values as JSON, null for those that are, and which of them cannot be kept."""
    texts = [
        bytes(one) if type(one) is msgspec.Raw else attributes.dump(one).encode() for one in values
    ]
    faulty: Array | None = None
    if _SPECIAL.search(b"\n".join(texts)):
        kept = [attributes.kept(one) if _SPECIAL.search(one) else one for one in texts]
        faulty = pa.array([one is None for one in kept])
        texts = [one or b"null" for one in kept]
    column = pa.array(texts, pa.binary()).cast(pa.string())
    return pc.if_else(pc.equal(column, "null"), pa.scalar(None, pa.string()), column), faulty
