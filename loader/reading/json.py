"""JSON in whatever shape: an object on each line, an array of them, a document that has them.

Objects are cut out of the content first, by lines where it has one on each (`Block`), else by their
brackets (`Documents`). Arrow reads those that are as the first ones are, many at once; all others
are read one by one (`objects`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import InputError
from loader.reading import header, lists, objects, rejected
from loader.reading.batch import EventBatch, Reject
from loader.reading.brackets import is_document
from loader.reading.documents import Documents
from loader.reading.fields import ITEMS, Node, Path, alike, arrays, chain, tree
from loader.reading.limits import Limits
from loader.reading.lines import Blocks
from loader.reading.mapping import Mapping as Meaning
from loader.reading.pieces import Around, Pieces
from loader.reading.rows import Assembler, Broken, Origins, Rows
from loader.reading.streams import ByteSource
from loader.reading.uniform import Uniform
from loader.reading.unpack import KEPT, unpack

# Behind the name of a column, for the key that has the dots of the name in itself.
_LITERAL: Final = "\0"


class JsonReader:
    """Reads JSON in constant memory; iterate once.

    Raises:
        InputError: on iterating, when it is something else altogether.
    """

    def __init__(self, content: ByteSource, mapping: Meaning, limits: Limits) -> None:
        self._content = content
        self._blocks = Blocks(content, limits)
        self._mapping = mapping
        self._limits = limits
        self.assembler = Assembler(mapping, limits)
        self._uniform = Uniform(mapping, self.assembler.clock.per_second)
        self._use({})

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield batches; inside of a block, what is likely to be good comes first."""
        start = self._blocks.peek()
        header.check_text(start)
        is_empty = not start.lstrip().startswith(b"[")
        for number, (pieces, before) in enumerate(self._pieces(start)):
            is_empty = is_empty and not pieces.data.strip() and not before.count
            if number == 0:
                self._start(pieces)
            yield from self.batches(pieces, before)
        if is_empty:
            raise InputError("is empty")

    def _pieces(self, start: bytes) -> Iterator[tuple[Pieces, Broken]]:
        """Cut the content into texts that should be an object each."""
        if is_document(start, self._limits.line_bytes):
            yield from Documents(
                self._content,
                start,
                self._limits,
                paths=[paths.values() for paths in self._paths.values()],
                wanted=self._tree,
                way=self._way,
            )
            return
        for block in self._blocks:
            # A gigabyte of empty lines is no work. For Python some more is white than for JSON.
            if block.data.isspace() and not block.data.strip(b" \t\r\n") and not block.long_lines:
                continue
            yield Pieces.of_block(block), Broken(len(block.long_lines), block.long_lines)

    def _use(self, example: Mapping[str, Any]) -> None:
        """Decide where the columns are, from how an object has them."""
        mapping = self._mapping
        self._paths = {name: _paths(name, example) for name in mapping.options}
        self._values = dict.fromkeys((*mapping.needed_columns, *mapping.compared_columns))
        self._tree = self._node(mapping.options)
        self._needed = self._node(self._values)
        self._wanted = self._node(self._values, mapping.attributes)
        self._way = chain(path for paths in self._paths.values() for path in paths.values())

    def _node(self, names: Iterable[str], kept: Iterable[str] = ()) -> Node:
        """Return what is wanted of an object: values, and texts as they are written."""
        found = {key: path for name in names for key, path in self._paths[name].items()}
        found |= {key + KEPT: path for name in kept for key, path in self._paths[name].items()}
        return tree(found)

    def _start(self, texts: Pieces) -> None:
        """Look at the first objects, for how the keys are written."""
        why = ""
        for number, text in enumerate(texts):
            if not text.strip():
                continue
            try:
                _, example = objects.read_slowly(text)[0]
            except objects.NotAnObjectError as error:
                other = "" if b"{" in text else "; is it another --format?"
                why = why or f"line {texts.lines[number]}: {error}{other}"
            else:
                self._use(example)
                return
        if why:
            raise InputError(f"no line is a JSON object; {why}")

    def batches(self, texts: Pieces, broken: Broken) -> Iterator[EventBatch]:
        """Yield batches of texts, those that are plain all at once, and the others one by one.

        Of messages each stands for itself. Unlike with a file, none says how the others are
        written: keys match exactly, and there may be no object among them at all.
        """
        are_regular = texts.are_regular(self._limits.line_bytes)
        # Nor is an empty line among others.
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
        node = _inside(self._wanted, way)
        items = replace(texts, around=Around())
        found, events, are_read = self._uniform.read(node, items) or unpack(node, items)
        if not are_read.any():
            return None, are_read
        # What stands around them all is read once.
        document = [objects.read_slowly(texts[int(are_read.argmax())])[0][1]] if way else []
        count = len(events.levels[0])

        def column(name: str, kept: str = "") -> Any:
            columns = [
                found[key + kept]
                if key + kept in found
                else objects.values_of(document, path) * count
                for key, path in self._paths[name].items()
            ]
            return lists.either([one for one in columns if len(one)] or [[None] * count])

        columns = {name: column(name) for name in self._values}
        members = {name: column(name, KEPT) for name in self._mapping.attributes}
        events.places[:0] = [np.zeros(count, np.int64)] * way.count(ITEMS)
        origins = rejected.Stood(self._paths, self._way, texts, texts, events)
        return self._batch(columns, members, origins, broken), are_read

    def _one_by_one(self, texts: Pieces, broken: Broken) -> EventBatch:
        """Return a batch of objects of any kind, and of what is none."""
        limits = self._limits
        kept: list[bytes] = []
        documents: list[Any] = []
        at: list[int] = []
        refused: list[tuple[int, str, bytes, Sequence[int]]] = []
        for number, (size, text) in enumerate(zip(texts.sizes.tolist(), texts, strict=True)):
            if size > limits.line_bytes:
                refused.append((number, "", text, ()))
                continue
            try:
                found = objects.read(text)
            except objects.NotAnObjectError as error:
                if text.strip(b" \t\r\n"):
                    refused.append((number, str(error), text, ()))
                continue
            for piece, document in found:
                if key := objects.doubled(document, self._needed):
                    refused.append((number, objects.TWICE.format(key), text, ()))
                    continue
                kept.append(piece)
                documents.append(document)
                at.append(number)
        events = objects.events_in(documents, self._way)
        values: Mapping[str, Any] = {
            name: lists.either(
                [
                    events.spread(objects.values_of(documents, path), path.count(ITEMS))
                    for path in paths.values()
                ]
            )
            for name, paths in self._paths.items()
        }
        are_good = np.ones(len(events.levels[0]), np.bool_)
        for event in range(len(are_good) if self._way else 0):
            row, places = events.stood(event)
            key = objects.doubled_in_item(documents[row], self._needed, self._way, places)
            if key is not None:
                are_good[event] = False
                refused.append((at[row], objects.TWICE.format(key), kept[row], places))
        values = events.keep(are_good, values)
        stood = texts[np.array(at, np.int64)]
        origins = rejected.Stood(self._paths, self._way, stood, kept, events)

        def reject(number: int, reason: str, text: bytes, places: Sequence[int]) -> Reject:
            line, size = int(texts.lines[number]), int(texts.sizes[number])
            if size > limits.line_bytes:
                return Reject.too_long(line, text, size, limits)
            return Reject(
                line_number=line + text.count(b"\n", 0, rejected.offset(text, self._way, places)),
                column_name=None,
                reason=reason or objects.why_none(text),
                raw=rejected.cut(text, self._way, places),
            )

        refusals = Broken(len(refused), starmap(reject, refused))
        return self._batch(values, values, origins, broken + refusals)

    def _batch(
        self,
        values: Mapping[str, Any],
        members: Mapping[str, Any],
        origins: Origins,
        broken: Broken,
    ) -> EventBatch:
        mapping = self._mapping
        columns = {name: lists.names(values[name]) for name in mapping.needed_columns}
        if len(mapping.time_columns) == 1:
            columns[mapping.time_column] = lists.times(
                values[mapping.time_columns[0]],
                is_number=self.assembler.clock.per_second is not None,
            )
        rows = Rows(
            columns=columns,
            compared={name: lists.texts(values[name]) for name in mapping.compared_columns},
            members={name: lists.members(members[name]) for name in mapping.attributes},
            origins=origins,
        )
        return self.assembler.batch(rows, broken)


def _paths(name: str, example: Mapping[str, Any]) -> dict[str, Path]:
    """Return the paths that may lead to a column: a key with dots in it, and then the other."""
    path = objects.as_written(name, example)
    if len(path) == 1 or arrays(path):
        return {name: path}
    return {name + _LITERAL: tuple(alike(name, example)[:1] or [name]), name: path}


def _inside(node: Node, way: Path) -> Node:
    """Return what is wanted of the items to which a way leads."""
    for step in way:
        found = node.items if step is ITEMS else node.keys.get(step)
        node = found or Node()
    return node
