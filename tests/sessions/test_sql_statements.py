"""The SQL that the statements of the stores compile to, a file a database: to be read, and explained by the database.

After a change of statements write the files anew, and read what has changed in them:

    python -m tests.sessions.test_sql_statements
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from gateway.database.drivers import parse_url, server_engine
from gateway.database.engine import Database
from gateway.database.sqlite import memory_engine
from gateway.liveness import Liveness
from gateway.model import Status
from gateway.sessions import Filter, Terms
from gateway.sessions.cursor import Cursor
from gateway.sessions.sql import SqlStore
from gateway.sessions.sql.listing import select_made, select_page
from gateway.sessions.sql.schema import Tables

FOLDER = Path(__file__).parent / "statements"
PARTS = ("tickets", "sessions", "records", "erasures", "owners")
DIALECTS = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect, "mariadb": mysql.dialect}
CURSOR = Cursor(1_800_000_000_000, "user_alice_session", "acme")
PAGES = {
    "page": ("The first page of a tenant's sessions, newest use first.", Filter(tenant="acme"), None),
    "page_after": ("The page behind a session.", Filter(tenant="acme"), CURSOR),
    "page_of_user": ("The sessions of a user.", Filter(tenant="acme", user_id="alice"), None),
    "page_of_status": ("The sessions of a status.", Filter(tenant="acme", status=Status.COMPLETED), None),
    "page_of_all": ("The sessions of every tenant, for the command line.", Filter(), None),
}


def make_store(kind: str) -> SqlStore:
    """One that nobody has opened: its statements need no tables."""
    engine = memory_engine() if kind == "sqlite" else server_engine(parse_url(f"{kind}://127.0.0.1/nowhere"))
    return SqlStore(Database(engine), Tables("gateway", engine.dialect), Liveness(None), Terms())


def write(kind: str) -> str:
    """The file of a database."""
    store, dialect = make_store(kind), DIALECTS[kind](paramstyle="named")
    written = [
        _write(f"{part}.{name}", purpose, statement, dialect)
        for part in PARTS
        for holder in (getattr(store, part).statements, getattr(store, part))
        for name, purpose, statement in _statements(holder)
    ]
    sessions, now = store.tables.sessions, CURSOR.last_used
    for name, (purpose, wanted, cursor) in PAGES.items():
        page = select_page(sessions, wanted, 21, cursor, now=now)
        written.append(_write(f"sessions.{name}", purpose, page, dialect))
    made = select_made(sessions, "acme", 20, (now, CURSOR.session_id), now=now)
    written.append(_write("sessions.made", "The tenant's sessions, newest made first.", made, dialect))
    return f"-- What a store in {kind} says, as SQLAlchemy compiles it.\n\n" + "\n".join(written)


def _statements(part: object) -> Iterator[tuple[str, str, sa.Executable]]:
    """Each statement that is an attribute, with what its docstring says it is for."""
    purposes = {name: purpose for kind in type(part).__mro__[:-1] for name, purpose in _docstrings(kind)}
    for name, value in vars(part).items():
        if isinstance(value, sa.Executable) and name in purposes:
            yield name, purposes[name], value


def _docstrings(kind: type) -> Iterator[tuple[str, str]]:
    if not kind.__module__.startswith("gateway.sessions.sql"):
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            for statement, after in zip(function.body, function.body[1:], strict=False):
                match statement, after:
                    case ast.Assign(targets=[ast.Attribute(attr=name)]), ast.Expr(ast.Constant(str(purpose))):
                        yield name, " ".join(purpose.split())


def _write(name: str, purpose: str, statement: Any, dialect: sa.Dialect) -> str:
    text = re.sub(r"\(__\[POSTCOMPILE_(\w+?)(?:~~.*?~~)?\]\)", r"(:\1, …)", str(statement.compile(dialect=dialect)))
    text = re.sub(r" (?=(?:WHERE|SET|SELECT|VALUES|RETURNING|ORDER BY|LIMIT) )", "\n", text)
    lines = "\n".join(line.strip() for line in text.splitlines())
    return f"-- {name}: {purpose}\n{lines};\n"


@pytest.mark.parametrize("kind", DIALECTS)
def test_the_statements_are_those_that_were_read(kind: str) -> None:
    assert write(kind) == (FOLDER / f"{kind}.sql").read_text(), f"see {Path(__file__).name}: is this change intended?"


def test_each_statement_says_what_it_is_for() -> None:
    store = make_store("sqlite")
    for part in PARTS:
        statements = getattr(store, part).statements
        executable = {attribute for attribute, value in vars(statements).items() if isinstance(value, sa.Executable)}
        assert executable - {"record"} == {attribute for attribute, _, _ in _statements(statements)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in DIALECTS:
        (FOLDER / f"{each}.sql").write_text(write(each))
