"""Many rows in one statement, on both databases.

In:  a table and its rows. Out: those inserted, in their order, and on request which of them are new; those changed,
each in its own way. A list of values as one parameter.
Not here: which rows (the modules of units beside this one).

On PostgreSQL the rows travel as one array per column (`SELECT ... FROM unnest(...)`): one text, prepared once,
however many rows; VALUES lists would be parsed anew for each length, and a statement per row pays a round trip each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, bindparam, column, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

Rows = Sequence[Mapping[str, Any]]


def insert_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows, which all have the same columns."""
    if rows:
        _run(connection, _statement(connection.dialect.name, table, tuple(rows[0])), rows)


def insert_unless_there(connection: Connection, table: Table, rows: Rows, returning: str | None = None) -> set[Any]:
    """Insert rows unless their keys are taken; return what `returning` names of those that were inserted.

    Rows must be in the order of their keys: who inserts the same ones beside us is waited for, never in a circle.
    """
    if not rows:
        return set()
    statement = _new(connection.dialect.name, table, tuple(rows[0]), returning)
    found = _run(connection, statement, rows)
    return set() if returning is None else set(found.scalars())


def upsert(
    connection: Connection, table: Table, rows: Rows, keys: tuple[str, ...], changed: tuple[str, ...], where: Any
) -> None:
    """Insert rows, in the order of their keys and each key once; where one is taken, set the changed columns instead.

    where: a function of the statement's `excluded` that says which of the rows that are there are changed. Those that
    are not stay as they are, and are locked all the same.
    """
    if rows:
        _run(connection, _changing(connection.dialect.name, table, tuple(rows[0]), keys, changed, where), rows)


def update_rows(connection: Connection, table: Table, where: Rows, changed: Rows) -> int:
    """Set the changed columns of each row that has these values; return how many rows there were.

    where and changed belong together, row by row; all rows of each have the same columns. A column may be in both.
    """
    if not where:
        return 0
    statement = _update(connection.dialect.name, table, tuple(where[0]), tuple(changed[0]))
    rows = [
        {**{f"where_{name}": here[name] for name in here}, **{f"new_{name}": there[name] for name in there}}
        for here, there in zip(where, changed, strict=True)
    ]
    return int(_run(connection, statement, rows).rowcount)


@cache
def among(dialect: str, of: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column is one of a list, the statement's parameter of that name, however long."""
    if dialect != "postgresql":
        return of.in_(bindparam(name, expanding=True))
    return of == func.any(bindparam(name, type_=ARRAY(of.type)))


def _run(connection: Connection, statement: Any, rows: Rows) -> Any:
    if connection.dialect.name != "postgresql":
        return connection.execute(statement, list(rows))
    return connection.execute(statement, {name: [row[name] for row in rows] for name in rows[0]})


@cache
def _statement(dialect: str, table: Table, names: tuple[str, ...]) -> Any:
    if dialect != "postgresql":
        return sqlite.insert(table)
    return postgresql.insert(table).from_select(list(names), _unnested(table, names))


@cache
def _new(dialect: str, table: Table, names: tuple[str, ...], returning: str | None) -> Any:
    statement = _statement(dialect, table, names).on_conflict_do_nothing()
    return statement if returning is None else statement.returning(table.c[returning])


@cache
def _changing(
    dialect: str, table: Table, names: tuple[str, ...], keys: tuple[str, ...], changed: tuple[str, ...], where: Any
) -> Any:
    statement = _statement(dialect, table, names)
    return statement.on_conflict_do_update(
        index_elements=[table.c[key] for key in keys],
        set_={name: statement.excluded[name] for name in changed},
        where=where(statement.excluded),
    )


@cache
def _update(dialect: str, table: Table, where: tuple[str, ...], changed: tuple[str, ...]) -> Any:
    types = {f"where_{name}": table.c[name].type for name in where}
    types |= {f"new_{name}": table.c[name].type for name in changed}
    values: Mapping[str, Any] = (
        _arrays(types).c if dialect == "postgresql" else {name: bindparam(name, type_=types[name]) for name in types}
    )
    found = and_(*(table.c[name] == values[f"where_{name}"] for name in where))
    return update(table).where(found).values({name: values[f"new_{name}"] for name in changed})


def _unnested(table: Table, names: tuple[str, ...]) -> Select[Any]:
    rows = _arrays({name: table.c[name].type for name in names})
    return select(*(rows.c[name] for name in names))


def _arrays(types: Mapping[str, Any]) -> Any:
    """Return rows whose columns are the statement's parameters of these names and types, one array each."""
    arrays = [bindparam(name, type_=ARRAY(types[name])) for name in types]
    columns = [column(name, types[name]) for name in types]
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()
