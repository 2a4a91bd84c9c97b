"""Imports point one way through the house, and each library has its rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gateway

HOUSE = Path(gateway.__file__).parent

# From the cellar to the roof: each floor imports what is below it. What is not named is on TURN's floor, where a
# session's turns are put together out of the stores, providers and workflows below; on lifecycle's stands what is done
# to whole sessions.
FLOORS = {
    "errors": 0,
    "line": 1,
    "liveness": 1,
    "model": 1,
    "parsing": 1,
    "sockets": 1,
    "sse": 1,
    "database": 2,
    "events": 2,
    "config": 3,
    "sessions": 3,
    "providers": 3,
    "workflows": 3,
    "auth": 3,
}
TURN = 4
FLOORS |= {"lifecycle": 5, "web": 6, "cli": 7, "serving": 7, "__main__": 7, "testing": 7, "": 8}
NEIGHBOURS = {("workflows", "providers"), ("__main__", "cli"), ("cli", "serving")}

# Each library with the rooms that it may be used in.
LIBRARIES = {
    "flask": ["web"],
    "httptools": ["providers", "workers"],
    "werkzeug": ["web"],
    "sqlalchemy": ["database", "sessions.sql", "sessions.jsonfile", "providers.local"],
    "redis": ["sessions.redis"],
    "openai": ["providers", "workflows"],
    "agents": ["workflows"],
    "click": ["cli"],
    "prompt_toolkit": ["cli"],
    "rich": ["cli"],
    "requests": ["cli"],
    "gunicorn": ["serving", "workers", "cli"],
    "jwt": ["auth"],
    "cryptography": ["sessions", "auth"],
    "limits": ["web"],
    "prometheus_client": ["metrics"],
    "msgspec": ["web"],
    "pytest": ["testing"],
}

ENTRY_POINTS = ["web.app", "cli", "serving", "scripts"]


class Import(NamedTuple):
    module: str
    """Below `gateway`; empty for the package itself."""
    target: str
    line: int
    at_once: bool
    """When the module is loaded, not when a function of it is called, nor for the type checker only."""


def module_name(path: Path) -> str:
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text(), str(path)) for path in sorted(HOUSE.rglob("*.py"))}


def imports_of(module: str) -> Iterator[Import]:
    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(module, name.name, child.lineno, at_once)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"gateway/{module}:{child.lineno}: a relative import"
                for name in child.names:
                    inner = f"{child.module}.{name.name}"
                    is_module = inner.removeprefix("gateway.") in TREES
                    yield Import(module, inner if is_module else str(child.module), child.lineno, at_once)
            else:
                typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
                later = typing_only or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from walk(child, at_once and not later)

    yield from walk(TREES[module], True)


IMPORTS = [found for module in TREES for found in imports_of(module)]
INSIDE = [
    found._replace(target=found.target.removeprefix("gateway").removeprefix("."))
    for found in IMPORTS
    if found.target.partition(".")[0] == "gateway"
]


def is_in(module: str, rooms: list[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def test_the_walk_finds_what_is_imported():
    assert {"errors", "model", "sessions.manager", "database.engine"} <= set(TREES)
    assert any(found.module == "sessions.manager" and found.target == "model" for found in INSIDE)
    assert any(found.target == "sqlalchemy" for found in IMPORTS)


def test_imports_point_one_way():
    wrong = []
    for found in INSIDE:
        here, there = found.module.partition(".")[0], found.target.partition(".")[0]
        if here == there or (here, there) in NEIGHBOURS or here == "":
            continue
        ours, theirs = FLOORS.get(here, TURN), FLOORS.get(there, TURN)
        if theirs > ours or (theirs == ours and ours != TURN):
            wrong.append(f"gateway.{found.module}:{found.line} imports gateway.{found.target}")
    assert wrong == []


def test_nothing_imports_in_a_circle():
    edges: dict[str, set[str]] = {module: set() for module in TREES}
    for found in INSIDE:
        # A package's modules may import from the package: by then it is being loaded.
        if found.at_once and not found.module.startswith(f"{found.target}.") and found.module != found.target:
            edges[found.module].add(found.target)
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in sorted(edges.get(module, ())):
                visit(target, [*path, module])
            done.add(module)

    for module in TREES:
        visit(module, [])


def test_each_library_stays_in_its_rooms():
    wrong = [
        f"gateway.{found.module}:{found.line} imports {found.target}"
        for found in IMPORTS
        if (library := found.target.partition(".")[0]) in LIBRARIES and not is_in(found.module, LIBRARIES[library])
    ]
    assert wrong == []


def test_the_contract_suite_needs_nothing_but_a_store():
    wrong = [
        f"gateway.{found.module}:{found.line} imports gateway.{found.target}"
        for found in INSIDE
        if is_in(found.module, ["testing"]) and not is_in(found.target, ["errors", "model", "sessions", "testing"])
    ]
    assert wrong == []


def test_only_entry_points_read_the_environment():
    wrong = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            read = isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
            # A request has an environment of its own.
            read = read and getattr(node.value, "id", None) != "request"
            taken = isinstance(node, ast.ImportFrom) and node.module == "os"
            taken = taken and any(name.name in {"environ", "getenv"} for name in node.names)
            if (read or taken) and not is_in(module, ENTRY_POINTS):
                wrong.append(f"gateway.{module}:{node.lineno} reads the environment")
    assert wrong == []
