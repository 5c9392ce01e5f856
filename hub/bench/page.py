"""Pieces of a self-contained HTML page. Every text that is handed in is escaped here, and nowhere else."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from xml.sax.saxutils import escape

Cell = str | tuple[str, str]
"""The text of a table's cell, or the text with its class."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page needs nothing, and a browser shall fetch nothing, whatever a text in it tries."""


def text(value: object) -> str:
    """Any value as text of the page."""
    kept = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in str(value))
    return escape(kept, {'"': "&quot;", "'": "&#39;"})


def page(title: str, *parts: str) -> str:
    """A whole document."""
    style = files("hub.bench").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{text(title)}</title><style>\n{style}</style></head><body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def heading(title: str, under: str) -> str:
    """The head of the page."""
    return f'<header><h1>{text(title)}</h1><p class="under">{text(under)}</p></header>'


def chip(words: str, tone: str) -> str:
    """A short verdict; ``tone``: good, bad, none."""
    return f'<p class="chip {tone}">{text(words)}</p>'


def note(words: str, tone: str = "warn") -> str:
    """A line that must not be overlooked."""
    return f'<p class="note {tone}">{text(words)}</p>'


def tiles(members: Iterable[tuple[str, str]]) -> str:
    """Few figures, large: (value, what it is)."""
    drawn = "".join(f'<div class="tile"><b>{text(value)}</b><span>{text(what)}</span></div>' for value, what in members)
    return f'<div class="tiles">{drawn}</div>'


def cards(*drawn: str) -> str:
    """Cards beside each other where there is room."""
    return f'<div class="cards">{"".join(drawn)}</div>'


def card(title: str, body: str, *, wide: bool = False) -> str:
    """``body`` is HTML; empty: no card."""
    return f'<section class="card{" wide" if wide else ""}"><h2>{text(title)}</h2>{body}</section>' if body else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The first column names the row. Empty: there are no rows."""
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
        if lines
        else ""
    )


def members(given: Mapping[str, object]) -> str:
    """Names and values. Empty: there are none."""
    drawn = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in given.items())
    return f"<dl>{drawn}</dl>" if drawn else ""


def footer(*paragraphs: str) -> str:
    """What helps to read the page."""
    return f"<footer>{''.join(f'<p>{text(each)}</p>' for each in paragraphs)}</footer>"


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{_lines(cell)}</td>"
    words, kind = cell
    return f'<td class="{kind}">{_lines(words)}</td>'


def _lines(words: str) -> str:
    """What follows a line break is of less importance."""
    first, _, rest = words.partition("\n")
    return text(first) + (f"<small>{text(rest)}</small>" if rest else "")
