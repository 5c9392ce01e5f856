"""What README.md and docs/ tell one to type works, in the order in which they tell it."""

import re
import shlex
from contextlib import AsyncExitStack, closing
from typing import Any
from urllib.parse import unquote

import pytest
import typer.main

from hub.cli import app
from hub.settings import COMPAT, Settings
from hub.settings_places import NOT_SETTINGS, SPEC_NAMES, variable
from protocol.names import CloseCode, KeyAction
from tests.docs.pages import ELSEWHERE, KINDS, PAGES, Block, blocks
from tests.docs.session import Session
from tests.examples.programs import ROOT, Place

README = PAGES[0]
BY_EXAMPLES = re.compile(r"(\.venv/bin/|hub |make |(HUB_\w+=\S+ )+hub )")
"""Lines of README.md that tests/examples types, looks up or starts (test_readme_runs, test_readme_words)."""

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = typer.main.get_command(app)
KNOWN = {variable(name) for name in Settings.model_fields} | set(SPEC_NAMES) | NOT_SETTINGS


def by_examples(block: Block) -> bool:
    """Whether it is a block of README.md that tests/examples has in its care."""
    return block.page == README and block.info in ("sh", "")


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_what_it_is(block):
    """Nothing is passed over because its kind is unknown; what does not run here says why."""
    if by_examples(block):
        lines = [line for line in block.text.splitlines() if line.strip()] if block.info == "sh" else []
        unknown = [line for line in lines if not BY_EXAMPLES.match(line)]
        assert not unknown, f"{block}: nobody types this; make it a console block, see tests/docs/pages.py"
        return
    assert block.kind in KINDS
    assert not block.elsewhere or (block.elsewhere in ELSEWHERE and block.kind == "console")
    assert block.marks <= {"background", "extended", f"elsewhere={block.elsewhere}"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_page_does_what_it_says(page, tmp_path):
    """From an empty directory, beside a hub of its own."""
    mine = [block for block in blocks(page) if not by_examples(block) and not block.elsewhere]
    if not any(block.kind in ("console", "python", "frames") for block in mine):
        return
    here, logs = tmp_path / "here", tmp_path / "logs"
    here.mkdir()
    logs.mkdir()
    async with AsyncExitStack() as stack:
        place = stack.enter_context(closing(Place(here, logs))).with_examples()
        session = Session(place, stack)
        if not any(
            "hub serve" in command.line for block in mine if block.kind == "console" for command in block.commands
        ):
            await session.serve()
        for block in mine:
            await session.play(block)
        await session.end()


ELSEWHERE_LINES = [(block, command.line) for block in BLOCKS if block.elsewhere for command in block.commands]


@pytest.mark.parametrize(("block", "line"), ELSEWHERE_LINES, ids=lambda one: str(one)[:50])
def test_what_does_not_run_here_exists(block, line):
    """Commands and options of the hub, targets of make, services of compose.yaml, extras of the package."""
    for part in re.split(r"\||&&|;", re.sub(r"\s+# .*", "", line)):
        words = [word for word in shlex.split(part) if not re.match(r"[A-Z_]+=", word)]
        _look_up(words)


def _look_up(words: list[str]) -> None:
    match words:
        case ["hub", *rest]:
            _look_up_command(rest)
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
        case ["pip", "install", wanted]:
            extra = re.search(r"\[(\w+)\]", wanted)
            assert wanted.startswith("device-hub")
            assert extra is None or f"\n{extra[1]} = [" in (ROOT / "pyproject.toml").read_text()
        case ["docker", "compose", *rest]:
            services = re.findall(r"^  (\w+):$", (ROOT / "compose.yaml").read_text(), re.M)
            assert not rest[1:] or rest[-1] in services or rest[-1].startswith("-")


def _look_up_command(words: list[str]) -> None:
    command: Any = COMMANDS
    for word in words:
        if hasattr(command, "list_commands") and not word.startswith("-"):
            assert word in command.list_commands(None), f"there is no hub {' '.join(words)}"
            command = command.get_command(None, word)
        elif word.startswith("--"):
            options = {name for parameter in command.params for name in parameter.opts}
            assert word.partition("=")[0] in options, f"{word} is no option of hub {' '.join(words)}"


# --- names in prose ---------------------------------------------------------------------------------------------------

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
OURS = ["getting-started.md", "protocol.md", "rights.md", "operating.md", "migrating.md", "security.md"]


@pytest.mark.parametrize("name", OURS)
def test_the_names_on_a_page_exist(name):
    """Settings, close codes and the actions of keys."""
    text = TEXTS[name]

    assert set(re.findall(r"\bHUB_[A-Z_]*[A-Z]\b", text)) - {"HUB_"} <= KNOWN
    assert {int(code) for code in re.findall(r"`(1\d{3}|4\d{3})`", text)} <= set(CloseCode)
    assert set(re.findall(r"`((?:Get|Create|Update|Manage|Register)[A-Z]\w+)`", text)) <= {*KeyAction}


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    """To files that are there, and to headings on their pages."""
    directory = ROOT if name == "README.md" else ROOT / "docs"
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if re.match(r"https?:", link):
            continue
        path, _, heading = unquote(link).partition("#")
        target = directory / path if path else directory / name
        assert target.exists(), link
        assert not heading or heading in _anchors(target.read_text(encoding="utf-8")), link


def test_the_metrics_on_the_page_exist():
    """Those that an operator is told to watch."""
    source = "".join(path.read_text() for path in (ROOT / "hub").rglob("*.py"))

    for name in re.findall(r"`(hub_\w+)`", TEXTS["operating.md"]):
        bare = name.removesuffix("_total")
        # What a bus counts is named by the bus, below hub_bus_.
        assert f'"{bare}"' in source or f'"{bare.removeprefix("hub_bus_")}"' in source, name


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_readme():
    """Nobody looks for what nobody names."""
    assert all(f"(docs/{name})" in TEXTS["README.md"] for name in OURS)


@pytest.mark.parametrize("field", COMPAT["devicehive"])
def test_what_devicehive_compatibility_sets_is_on_the_page(field):
    """Each setting that HUB_COMPAT=devicehive implies."""
    assert f"`{variable(field)}`" in TEXTS["migrating.md"]


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_used_and_brings_all_it_needs(path):
    """No fonts, scripts or images from elsewhere; it can be read without seeing it."""
    svg = path.read_text(encoding="utf-8")

    assert any(f"({path.name})" in text for text in TEXTS.values())
    assert not re.search(r"<script|<image|@import|url\((?!#)|href=", svg)
    assert "<title>" in svg
    assert "prefers-color-scheme" in svg
