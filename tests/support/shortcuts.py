"""What dbt does over and over for nobody is done once, or not at all.

In this process only, with dbt's own results: nothing here decides what a model or a macro gives. A
run of all models takes half of what it would. Whoever imports this module has it so.
"""

import contextlib
import gc
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, SimpleNamespace
from typing import Any, cast
from unittest import mock

import parsedatetime  # type: ignore[import-untyped]
import psycopg2  # type: ignore[import-untyped]
from agate.data_types import number  # type: ignore[import-untyped]
from dbt.adapters.events.types import SQLQuery, TypeCodeNotFound
from dbt.clients.jinja import MacroGenerator, MacroStack
from dbt.context import base
from dbt.context.macros import (
    FlatNamespace,
    FullNamespace,
    MacroNamespace,
    MacroNamespaceBuilder,
    NamespaceMember,
)  # fmt: skip
from dbt.contracts.graph.nodes import Macro
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.clients import jinja
from dbt_common.clients.jinja import MacroFuzzEnvironment
from dbt_common.events.base_types import BaseEvent, DebugLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.tests import enable_test_caching
from jinja2 import Environment
from psycopg2.extensions import connection  # type: ignore[import-untyped]

# What was parsed is many objects, and each run makes many more: to look through all of them for
# garbage, as often as Python does, is a sixth of what dbt takes.
gc.set_threshold(100_000, 50, 100)
# dbt's own switch for its own tests: what a text parses to is kept.
enable_test_caching()
# Each of these gives the same at each call, and costs more than to remember it: how dates and
# numbers are written in each language, what of Python a template may use, who asks about a flag.
vars(parsedatetime)["Constants"] = cache(parsedatetime.Constants)
vars(number)["Locale"] = SimpleNamespace(parse=cache(number.Locale.parse))
vars(base)["get_context_modules"] = cache(base.get_context_modules)
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]
# Templates that were compiled: they are the same in each run.
compiled: dict[tuple[str, str], CodeType] = {}
_compile = MacroFuzzEnvironment.compile


def compile_once(environment: MacroFuzzEnvironment, source: str) -> CodeType:
    """Compile a template only once."""
    key = type(environment).__name__, source
    if key not in compiled:
        compiled[key] = _compile(environment, source)
    return compiled[key]


MacroFuzzEnvironment.compile = compile_once  # type: ignore[method-assign,assignment]
_get_environment = jinja.get_environment
_environments = cache(lambda native: _get_environment(native=native))


def environment_once(
    node: Any = None, capture_macros: bool = False, native: bool = False
) -> Environment:
    """Return what templates are made in: another one only where it notes what a node lacks."""
    if capture_macros:
        return _get_environment(node, capture_macros, native)
    return _environments(native)


vars(jinja)["get_environment"] = environment_once
_get_macro = jinja.BaseMacroGenerator.get_macro


def get_macro_once(generator: jinja.BaseMacroGenerator) -> Callable[..., Any]:
    """Evaluate the template of a macro once for a node, however often the node calls it.

    A template defines its macro and nothing else; what that one finds in its context, it looks up
    at each call.
    """
    kept = vars(generator)
    if "evaluated" not in kept:
        kept["evaluated"] = _get_macro(generator)
    return cast("Callable[..., Any]", kept["evaluated"])


jinja.BaseMacroGenerator.get_macro = get_macro_once  # type: ignore[method-assign,assignment]


class Macros(MacroNamespace):
    """All macros under the names by which a template finds them, in one dictionary.

    Each node has some, and each has all 650: to look through five dictionaries for each name, in
    the same order for each node, is an eighth of a run.
    """

    def __init__(self, **namespaces: Any) -> None:
        super().__init__(**namespaces)
        self.all: FullNamespace = {}
        for found in reversed([*self._search_order()]):
            self.all |= found

    def __iter__(self) -> Iterator[str]:
        return iter(self.all)

    def __getitem__(self, name: str) -> NamespaceMember:
        return self.all[name]


def build_namespace(
    builder: MacroNamespaceBuilder,
    by_package: dict[str, dict[str, Macro]],
    context: dict[str, Any],
) -> Macros:
    """Do what dbt does, a package at a time instead of a macro at a time."""
    node, stack = builder.node, builder.thread_ctx
    made = {
        package: {
            name: MacroGenerator(macro, context, node, stack) for name, macro in macros.items()
        }
        for package, macros in by_package.items()
    }
    internal: FlatNamespace = {}
    for package in reversed(builder.internal_package_names_order):
        internal |= made.pop(package, {})
    is_root = builder.root_package == builder.search_package
    return Macros(
        global_namespace={} if is_root else made.get(builder.root_package, {}),
        local_namespace=made.get(builder.search_package, {}),
        global_project_namespace=internal,
        packages=made,
    )


def make_macro(
    generator: MacroGenerator,
    macro: Macro,
    context: dict[str, Any] | None = None,
    node: object = None,
    stack: MacroStack | None = None,
) -> None:
    """Do in one step what dbt does in three."""
    generator.macro, generator.context = macro, context
    generator.node, generator.stack = node, stack


MacroGenerator.__init__ = make_macro  # type: ignore[method-assign,assignment]
MacroNamespaceBuilder.build_namespace = build_namespace  # type: ignore[method-assign,assignment]


@contextlib.contextmanager
def unheard(
    at_each: Callable[[], object] = lambda: None,
    at_statement: Callable[[str], object] = lambda _: None,
) -> Iterator[None]:
    """Make nothing of what dbt says for those who debug it: a third of a run.

    Args:
        at_each: what to call at each event of dbt, also at those.
        at_statement: what to call with each statement, which is such an event too.
    """
    make, fire = BaseEvent.__init__, EventManager.fire_event

    def is_heard(event: BaseEvent) -> bool:
        # What it warns of all the same.
        return isinstance(event, TypeCodeNotFound) or not isinstance(event, DebugLevel)

    def make_if_heard(event: BaseEvent, *arguments: Any, **fields: Any) -> None:
        if is_heard(event):
            make(event, *arguments, **fields)
        elif isinstance(event, SQLQuery):
            at_statement(fields["sql"])

    def fire_if_heard(manager: EventManager, event: BaseEvent, *more: Any, **others: Any) -> None:
        at_each()
        if is_heard(event):
            fire(manager, event, *more, **others)

    with (
        mock.patch.object(BaseEvent, "__init__", make_if_heard),
        mock.patch.object(EventManager, "fire_event", fire_if_heard),
    ):
        yield


class Session(connection):  # type: ignore[misc]
    """A connection that is not closed, but reset and left for the next one to the same place."""

    idle: list["Session"]

    def close(self) -> None:
        try:
            self.rollback()
            self.autocommit = True
            self.cursor().execute("discard all")
            self.autocommit = False
        except psycopg2.Error:
            super().close()
        else:
            self.idle.append(self)


@contextlib.contextmanager
def kept_sessions() -> Iterator[None]:
    """Give each node of a run the session that another one has left, as a pooler does.

    dbt connects anew for each node: the processes of the server, each of which reads the catalog
    first, are a third of a run. tests/pipeline/test_poolers.py shows that no node needs one.
    """
    idle: defaultdict[str, list[Session]] = defaultdict(list)
    connect = psycopg2.connect

    def lend(**place: Any) -> Session:
        left = idle[repr(place)]
        session = left.pop() if left else connect(connection_factory=Session, **place)
        session.idle = left
        return cast("Session", session)

    with mock.patch.object(psycopg2, "connect", lend):
        yield
    for session in itertools.chain(*idle.values()):
        connection.close(session)
