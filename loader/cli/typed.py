"""How a command gets its options: as typed objects."""

import functools
from collections.abc import Callable
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import click

Decorator: TypeAlias = Callable[[Any], Any]
_Value = TypeVar("_Value")


def options_as(argument: str, kind: type[Any], *options: Decorator) -> Decorator:
    """Give a command options, and what they say as one argument: an object of a dataclass.

    The command hands over whatever options have the names of its fields; one that is not given
    leaves the field its default.
    """
    names = [field.name for field in fields(kind)]

    def decorate(command: Callable[..., Any]) -> Any:
        @functools.wraps(command)
        def wrapped(*arguments: Any, **values: Any) -> Any:
            given = {name: values.pop(name) for name in names if name in values}
            made = kind(**{name: value for name, value in given.items() if value is not None})
            return command(*arguments, **values, **{argument: made})

        return with_options(*options)(wrapped)

    return decorate


def options_of(kind: type[Any]) -> Callable[..., Decorator]:
    """Return what makes options of the fields of a dataclass, to be given to ``options_as``.

    It takes an option and its help; ``name`` is the field if the option has another name. The
    default is that of the field; so is the type: a flag, one of some texts, a number in its bounds,
    several names with commas between, or any text.
    """
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}

    def option(option: str, text: str, metavar: str | None = None, name: str = "") -> Decorator:
        field = known[name or option.lstrip("-").replace("-", "_")]
        hint: Any = hints[field.name]
        more: dict[str, Any] = {"metavar": metavar or "NAME"}
        if get_origin(hint) in (Union, UnionType):
            # Without None, which stands for an option that is not given.
            hint = get_args(hint)[0]
        if hint is bool:
            more = {"is_flag": True}
        elif hint is int:
            bounds = field.metadata.get("least"), field.metadata.get("most")
            more = {"type": click.IntRange(*bounds), "metavar": "N"}
        elif hint is float:
            bounds = field.metadata["least"], field.metadata["below"]
            more = {"type": click.FloatRange(*bounds, max_open=True), "metavar": "N"}
        elif get_origin(hint) is Literal:
            more = {"type": click.Choice(get_args(hint))}
        elif get_origin(hint) is tuple:
            names = read_by(lambda text: tuple(name.strip() for name in text.split(",")))
            more = {"callback": names, "metavar": metavar or "A,B"}
        default = field.default if isinstance(field.default, str | int | float) else None
        return click.option(option, field.name, default=default, help=text, **more)

    return option


def with_options(*options: Decorator) -> Decorator:
    """Give a command options, in this order."""
    return lambda command: functools.reduce(lambda to, option: option(to), options[::-1], command)


def read_by(
    read: Callable[[str], _Value],
) -> Callable[[click.Context, click.Parameter, str | None], _Value | None]:
    """Return the callback of an option that a function reads; its ValueError says what is wrong."""

    def callback(
        context: click.Context, parameter: click.Parameter, text: str | None
    ) -> _Value | None:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return callback
