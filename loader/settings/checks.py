"""Checks: what a program gives, held against the types that were asked for.

What has one clear meaning is taken as that, such as a list where a tuple is meant; the rest is
refused by name, value and what to do. Commands check their options themselves.
"""

import inspect
import os
import reprlib
from collections import abc
from dataclasses import fields
from datetime import date, datetime, timedelta
from functools import cache, wraps
from numbers import Integral
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from loader.errors import LoaderError, UsageError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_WORDS: Final[dict[Any, str]] = {
    NoneType: "None",
    bool: "True or False",
    datetime: "a time",
    int: "a whole number",
    str: "a text",
    timedelta: "a timedelta",
    os.PathLike: "a path",
    abc.Callable: "to be called",
    abc.Mapping: "a dict of texts",
}
_SEVERAL: Final = (tuple, list, abc.Sequence)
# What is declared only by what it can do is looked at when it is used.
_BY_USE: Final = (Any, abc.Iterable, object)
_REPR: Final = reprlib.Repr()
_REPR.maxother = _REPR.maxstring = 80


class _UnfitError(Exception):
    """A value is not of the type; its text says more, where there is more to say."""


def check_fields(given: Any) -> None:
    """Check the fields of a frozen dataclass, and replace those that meant something else.

    A field with ``metadata={"least": N}`` is a number, and not less than that.
    """
    hints = _hints(given.__class__)
    for field in fields(given):
        value = fitted(field.name, getattr(given, field.name), hints[field.name])
        least = field.metadata.get("least")
        if least is not None and value is not None and value < least:
            raise UsageError(f"{field.name}: {value} is less than {least}")
        object.__setattr__(given, field.name, value)


def checked(function: abc.Callable[_Arguments, _Result]) -> abc.Callable[_Arguments, _Result]:
    """Decorate a function that checks what it is given, as ``check_fields`` does."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        bound = signature.bind(*args, **kwargs)
        hints = _hints(function)
        for name, value in bound.arguments.items():
            bound.arguments[name] = fitted(name, value, hints[name])
        return function(*bound.args, **bound.kwargs)

    return call


def fitted(
    name: str, value: object, hint: Any, refuse: abc.Callable[[str], LoaderError] = UsageError
) -> Any:
    """Return a value as one of this type, or raise what ``refuse`` makes of the message."""
    try:
        return _fit(value, hint)
    except _UnfitError as error:
        # A connection string may hold a password, whatever type it has.
        value_shown = type(value).__name__ if name == "dsn" else shown(value)
        why = str(error) or f"is not {_described(hint)}"
        raise refuse(f"{name}: {value_shown} {why}") from None


def shown(value: object) -> str:
    """Return a value on one line that is not long, whatever it is."""
    text = value.isoformat() if isinstance(value, date) else _REPR.repr(value)
    return " ".join(text.split())


def _fit(value: object, hint: Any) -> Any:
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return _fit_any(value, inner)
    if kind is Literal:
        is_fit = isinstance(value, str) and value in inner
    elif hint is bool:
        # NumPy's is no bool, and nothing else that is true or false has this name.
        is_fit = type(value).__name__ in ("bool", "bool_")
        value = bool(value) if is_fit else value
    elif hint is int:
        is_fit = isinstance(value, Integral) and not isinstance(value, bool)
        value = int(value) if isinstance(value, Integral) else value
    elif hint is datetime:
        return moment(value)
    elif kind in _SEVERAL:
        return _fit_several(value, inner[0])
    elif kind is abc.Mapping:
        if not isinstance(value, abc.Mapping):
            raise _UnfitError
        return {_fit(key, inner[0]): _fit(one, inner[1]) for key, one in value.items()}
    elif kind is abc.Callable:
        is_fit = callable(value)
    else:
        wanted: Any = kind or hint
        is_fit = not isinstance(wanted, type) or wanted in _BY_USE or isinstance(value, wanted)
    if not is_fit:
        raise _UnfitError
    return value


def _fit_any(value: object, hints: tuple[Any, ...]) -> Any:
    said = ""
    for hint in hints:
        try:
            return _fit(value, hint)
        except _UnfitError as error:
            said = said or str(error)
    raise _UnfitError(said)


def _fit_several(value: object, hint: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes):
        raise _UnfitError(f"is one text where several are meant; write [{shown(value)}]")
    if not isinstance(value, abc.Iterable) or isinstance(value, abc.Mapping):
        raise _UnfitError
    try:
        values = tuple(value)
    except Exception as error:
        raise _UnfitError(f"cannot be read: {error}") from error
    for one in values:
        try:
            _fit(one, hint)
        except _UnfitError:
            raise _UnfitError(f"has {shown(one)}, which is not {_described(hint)}") from None
    return tuple(_fit(one, hint) for one in values)


def moment(value: object) -> datetime:
    """Return a time with an offset, as such or written in ISO 8601; _UnfitError says why not."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise _UnfitError("is not a time such as 2024-05-13T15:00:00Z") from None
    if type(value).__name__ == "datetime64":
        raise _UnfitError("has no offset; make it a datetime with a tzinfo")
    if not isinstance(value, datetime):
        is_date = type(value).__name__ == "date"
        raise _UnfitError("is a date without a time of day" if is_date else "is not a time")
    try:
        offset = value.utcoffset()
    except Exception as error:
        # So does the NaT of pandas, which calls itself a datetime.
        raise _UnfitError("is not a time") from error
    if offset is None:
        raise _UnfitError("has no offset; give the time a tzinfo, or for UTC append Z")
    return value


def _described(hint: Any) -> str:
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(_described(one) for one in inner if one is not NoneType)
    if kind is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if kind in _SEVERAL:
        return f"several, of which each is {_described(inner[0])}"
    return _WORDS.get(kind or hint) or f"a {getattr(kind or hint, '__name__', hint)}"


@cache
def _hints(of: abc.Hashable) -> dict[str, Any]:
    return get_type_hints(of)
