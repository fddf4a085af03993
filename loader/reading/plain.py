"""Plain columns: the many types that files may have, made into the few that the readers know."""

from typing import Final

from loader.reading.arrow import Array, DataType, pa


def plain(column: Array) -> Array:
    """Return the same values as a plain column."""
    kind = column.type
    if pa.types.is_dictionary(kind) and plain_type(kind.value_type) != kind.value_type:
        return plain(column.dictionary_decode())
    if isinstance(kind, pa.UuidType):
        return pa.array([None if one is None else str(one) for one in column.to_pylist()], "string")
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    wanted = plain_type(kind)
    return column if wanted == kind else column.cast(wanted)


def plain_type(kind: DataType) -> DataType:
    """Return the type that a column of some type gets.

    The instants of zoned times stay the same: only how they are shown depends on the zone, whose
    name this machine may not even know.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if isinstance(kind, pa.UuidType) else plain_type(kind.storage_type)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return _PLAIN.get(kind, kind)


_PLAIN: Final = {
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.float16(): pa.float32(),
}
