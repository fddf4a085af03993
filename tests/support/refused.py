"""What Citus refuses, found in statements, without it. See docs/decisions/0057."""

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp

# What lies on the nodes; anything else each of them gets from the coordinator, or has.
_DISTRIBUTED = re.compile(
    r"event_chunks.*|events|stg_video_events__(event_\w*(history|chunks)|\w*events|deliveries)"
    r"|fct_(?!category).+|int_event_runs.*|dim_sources.*|activity_periods_live|alerts_live"
)
_SUSPICIOUS = re.compile(
    r"\b(lateral|offset|except|intersect|current_setting|update|create)\b", flags=re.IGNORECASE
)
_DICTIONARY = re.compile(r"(stg_video_events__)?(event_types|sources)")
# A temporary one is at the coordinator, and may be.
_WITHOUT_ROWS = (exp.TemporaryProperty, exp.WithDataProperty)
_IN_FUNCTION = re.compile(r"\$\$((?:(?!\$\$).)*)\$\$\s*language\s+sql\b", flags=re.DOTALL)


def refused(statement: str) -> list[str]:
    """Return what Citus would refuse in statements of a model; empty when it takes them."""
    if not _SUSPICIOUS.search(statement):
        return []
    found = [
        "parameters of a function in SQL"
        for body in _IN_FUNCTION.findall(statement.lower())
        if any(map(_DISTRIBUTED.fullmatch, re.findall(r"\w+", body)))
    ]
    if not re.search(r"\$\w*\$", statement):
        # What the parser does not know.
        text = re.sub(r"\[\s*:(?!:)", "[1:", statement).replace("on commit drop", "")
        for tree in sqlglot.parse(text, dialect="postgres"):
            found += _refused(tree) if tree else []
    return found


def _refused(tree: exp.Expr) -> Iterator[str]:
    for offset in tree.find_all(exp.Offset):
        around = offset.parent_select
        if not (around and around.parent and isinstance(around.parent.parent, exp.Lateral)):
            yield "offset of a fence that is around no look-up"
    if tree.find(exp.Except, exp.Intersect):
        yield "except or intersect"
    tables = {table.name for table in tree.find_all(exp.Table)}
    if any(map(_DISTRIBUTED.fullmatch, tables)) and "current_setting" in {
        function.name.lower() for function in tree.find_all(exp.Anonymous)
    }:
        yield "setting of the session, which nodes do not know"
    if isinstance(tree, exp.Update) and any(map(_DICTIONARY.fullmatch, tables)):
        yield "update that looks up a dictionary"
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and tree.expression:
        properties = tree.args["properties"] or []
        if not any(isinstance(each, _WITHOUT_ROWS) for each in properties):
            yield "table created with its rows"
    for lateral in tree.find_all(exp.Lateral):
        yield from _refused_lateral(lateral)


def _refused_lateral(lateral: exp.Lateral) -> Iterator[str]:
    if not isinstance(lateral.this, exp.Subquery):
        if lateral.this.find(exp.GenerateSeries):
            yield "lateral generate_series"
    elif _is_merged(lateral.this.unnest()) and any(map(_is_of_nodes, lateral.find_all(exp.Table))):
        for read in _read_by(lateral):
            if not _is_of_nodes(read):
                yield f"limit or count for each row of {read.alias_or_name}"


def _is_merged(query: exp.Expr) -> bool:
    """Tell whether a query has a limit or an offset, or one row for all that it reads."""
    if not isinstance(query, exp.Select):
        return False
    columns = [each for column in query.expressions for each in column.find_all(exp.AggFunc)]
    aggregates = [one for one in columns if one.find_ancestor(exp.Window, exp.Select) is query]
    return bool(
        query.args.get("limit")
        or query.args.get("offset")
        or (aggregates and not query.args.get("group"))
    )


def _read_by(lateral: exp.Lateral) -> Iterator[exp.Expr]:
    """Yield what stands before a lateral query in its FROM and is read in it."""
    select = lateral.find_ancestor(exp.Select)
    assert select, lateral.sql()
    names = {column.table for column in lateral.find_all(exp.Column)}
    for each in [select.args["from_"].this, *(join.this for join in select.args["joins"])]:
        if each is lateral:
            return
        if each.alias_or_name in names:
            yield each


def _is_of_nodes(relation: exp.Expr) -> bool:
    """Tell whether rows are where their sources are, for Citus."""
    if isinstance(relation, exp.Lateral):
        return _is_of_nodes(relation.this)
    if isinstance(relation, exp.Subquery):
        query = relation.unnest()
        is_kept = bool(query.args.get("distinct") or query.args.get("group"))
        if isinstance(query, exp.Select) and not is_kept:
            # Taken apart, each of its relations stands for itself.
            return all(map(_is_of_nodes, _relations(query)))
        return any(map(_is_of_nodes, _relations(query)))
    if not isinstance(relation, exp.Table):
        return False
    for common in _ctes_above(relation):
        if common.alias == relation.name and not relation.db:
            return not common.args.get("materialized") and any(
                map(_is_of_nodes, _relations(common.this))
            )
    return _DISTRIBUTED.fullmatch(relation.name) is not None


def _relations(query: exp.Expr) -> Iterator[exp.Expr]:
    """Yield what a query reads in its FROM, or the parts of a union in theirs."""
    if isinstance(query, exp.SetOperation):
        yield from _relations(query.left.unnest())
        yield from _relations(query.right.unnest())
    elif from_ := query.args.get("from_"):
        yield from_.this
        yield from (join.this for join in query.args.get("joins") or [])


def _ctes_above(expression: exp.Expr) -> Iterator[exp.CTE]:
    """Yield the CTEs that an expression may name, the nearest first."""
    above = expression.parent
    while above:
        if with_ := above.args.get("with_"):
            yield from reversed(with_.expressions)
        above = above.parent
