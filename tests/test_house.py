"""The house: who may import whom, what the pure part does without, and what no file may say."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]

# --- imports ----------------------------------------------------------------------------------------------------------

CORE = {"protocol", "hub.core"}
GATEWAY = CORE | {"hub.gateway", "hub.store", "hub.bus", "hub.passwords"}
ACTIONS = GATEWAY | {"hub.actions"}
REST = ACTIONS | {"hub.rest"}
WEB = REST | {"hub.web", "hub.logs"}
PROVIDERS = {"hub.providers"}
START = {"hub.settings", "hub.settings_places", "hub.settings_urls", "hub.client", "hub.starting", "hub.banner"}
APP = WEB | PROVIDERS | START | {"hub.app", "hub.parts", "hub.telemetry", "hub.tracing", "hub.worker", "hub.workers"}
CLI = APP | {"hub.bench", "hub.cli"}

MAY_IMPORT = {
    "protocol": {"protocol"},
    "hub.core": CORE,
    "hub.store": {"protocol", "hub.store"},
    "hub.bus": {"protocol", "hub.bus"},
    "hub.client": {"protocol", "hub.client"},
    "hub.bench": {"protocol", "hub.client", "hub.bench"},
    "hub.passwords": set(),
    "hub.providers": CORE,
    "hub.logs": set(),
    "hub.telemetry": {"protocol"},
    "hub.tracing": WEB | {"hub.settings", "hub.starting", "hub.telemetry"},
    "hub.settings": {"protocol", "hub.settings_places", "hub.settings_urls"},
    "hub.settings_urls": set(),
    "hub.settings_places": set(),
    "hub.gateway": GATEWAY,
    "hub.actions": ACTIONS,
    "hub.rest": REST,
    "hub.web": WEB,
    "hub.parts": WEB | PROVIDERS | {"hub.settings"},
    "hub.starting": {"hub.settings", "hub.client"},
    "hub.banner": {"hub.settings", "hub.starting"},
    "hub.worker": {"hub.starting"},
    "hub.workers": START | {"hub.worker", "hub.logs"},
    "hub.app": APP - {"hub.workers"},
    "hub.cli": CLI,
    "hub.__main__": {"hub.cli"},
    "hub": set(),
}
"""The import table: imports run one way, app and cli → web → rest → actions → gateway → core → protocol."""

SEAMS = ("hub.store", "hub.bus")
ERRORS = {f"{seam}.errors" for seam in SEAMS}
"""What a caller has to catch is part of a Protocol."""

MAY_NAME_IMPLEMENTATIONS = {"hub.app", "hub.cli.local"}
"""Everybody else knows a store and a bus by their Protocols only."""


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Name and syntax tree of every module of these packages."""
    for package in packages:
        for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), ast.parse(path.read_text())


def imports(module: str, tree: ast.Module) -> set[str]:
    """Full names of the modules that a module imports, anywhere in it, also where only the type checker looks."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively; the house imports by full names"
            found.update(_named(node))
    return found


def _named(node: ast.ImportFrom) -> Iterator[str]:
    """``from hub.store import sqlite`` names the module hub.store.sqlite, ``import Store`` the module hub.store."""
    base = node.module or ""
    for alias in node.names:
        below = ROOT / base.replace(".", "/") / alias.name
        yield f"{base}.{alias.name}" if below.is_dir() or below.with_suffix(".py").exists() else base


def place(module: str) -> str:
    """The row of the table that a module belongs to."""
    while module not in MAY_IMPORT:
        module = module.rpartition(".")[0]
    return module


MODULES = list(modules("protocol", "hub"))
OURS = {
    module: {name for name in imports(module, tree) if name.split(".")[0] in {"protocol", "hub"}}
    for module, tree in MODULES
}


@pytest.mark.parametrize("module", OURS)
def test_imports_run_one_way(module):
    """A module knows what lies below it, nothing beside and nothing above."""
    foreign = {name for name in OURS[module] if place(name) not in MAY_IMPORT[place(module)]}

    assert not foreign


@pytest.mark.parametrize("module", [module for module in OURS if not module.startswith(SEAMS)])
def test_only_the_application_names_a_store_or_a_bus(module):
    """What is below the seams can be exchanged without touching what is above them."""
    concrete = {name for name in OURS[module] if name.startswith(tuple(f"{seam}." for seam in SEAMS))}

    assert concrete <= ERRORS or module in MAY_NAME_IMPLEMENTATIONS


def test_every_module_has_a_row_in_the_table():
    """A new package of the hub says what it may know before it knows anything."""
    assert {"hub"} == {module for module in OURS if place(module) == "hub"}


# --- the pure part ----------------------------------------------------------------------------------------------------

PURE = list(modules("protocol", "hub.core"))
IMPURE_MODULES = {
    "asyncio",
    "concurrent",
    "http",
    "io",
    "logging",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "threading",
    "time",
    "uvloop",
    "websockets",
}
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter"}


@pytest.mark.parametrize(("module", "tree"), PURE, ids=[module for module, _ in PURE])
def test_the_pure_part_does_no_io(module, tree):
    """No sockets, files, threads, logs or chance: whatever these modules need is handed to them."""
    assert not {name.split(".")[0] for name in imports(module, tree)} & IMPURE_MODULES


@pytest.mark.parametrize(("module", "tree"), PURE, ids=[module for module, _ in PURE])
def test_the_pure_part_waits_for_nothing_and_reads_no_clock(module, tree):
    """No async, and the time is an argument."""
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor)]
    clocks = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in CLOCKS]
    prints = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in {"print", "open", "input"}]

    assert not waits
    assert not clocks
    assert not prints


# --- what we stand on -------------------------------------------------------------------------------------------------

FLOORS = {
    "h11": "0.16.0",
    "httptools": "0.9.0",
    "msgpack": "1.2.4",
    "orjson": "3.13.0",
    "pydantic": "2.14.3",
    "starlette": "1.10.0",
    "uvicorn": "0.54.0",
    "websockets": "17.4",
}
"""The oldest versions that were tested; older ones have defects that the hub relies on being gone."""


@pytest.mark.parametrize(("package", "floor"), FLOORS.items())
def test_floors(package, floor):
    """What is installed is at least what was tested."""
    assert Version(version(package)) >= Version(floor)


@pytest.mark.parametrize("package", sorted(FLOORS.keys() - {"h11"}))  # h11 comes with uvicorn, which asks for it
def test_an_installation_asks_for_the_floors(package):
    """Whoever installs the project gets no older version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {needed.name: needed for needed in map(Requirement, project["dependencies"])}

    least = [Version(clause.version) for clause in asked[package].specifier if clause.operator == ">="]
    assert max(least) >= Version(FLOORS[package])


# --- what no file may say ---------------------------------------------------------------------------------------------

PRIVATE = re.compile(
    r"(?<![\w.])/(?:work|root|home|Users)/\w|/tmp/probe|index-url|files\.pythonhosted|artifactory|pypi\.", re.I
)
TEXTS = {"", ".cfg", ".css", ".html", ".js", ".json", ".jsonl", ".md", ".py", ".sh", ".sql", ".toml", ".txt", ".yml"}
SKIPPED = {"__pycache__", "node_modules", "build", "dist"}
KEPT = {".ci", ".gitignore", ".dockerignore"}


def texts() -> Iterator[Path]:
    """Every text file of the project but this one, without what tools leave behind."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        left_behind = any(part in SKIPPED or (part.startswith(".") and part not in KEPT) for part in parts)
        if path.is_file() and not left_behind and path.suffix in TEXTS and path != Path(__file__):
            yield path


def test_no_file_names_a_machine_or_a_registry():
    """The project stands on any computer, and takes its packages from wherever that computer does."""
    named = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if PRIVATE.search(line)
    ]

    assert not named
