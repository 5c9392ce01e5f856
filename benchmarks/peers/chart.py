"""The comparison as one picture: a panel of bars for each case, self-contained, on light ground."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

WIDTH, MARGIN, LABELS, VALUES = 880, 24, 190, 170
BAR, GAP, PANEL = 20, 7, 34
OURS, OURS_QUEUED, PEER, LIMIT = "#0b6e4f", "#57b894", "#9aa5b1", "#5b6570"
INK, PALE = "#1f2933", "#616e7c"

Bars = dict[str, float]
"""What each system reaches, per second."""


def chart(report: Mapping[str, Any]) -> str:
    """An SVG document.

    Args:
        report: as ``report.report`` makes it.
    """
    cases = _cases(report)
    height = 92 + sum(PANEL + len(bars) * (BAR + GAP) + GAP for bars in cases.values())
    return "\n".join([*_head(report, height), *_panels(report, cases), "</svg>\n"])


def _cases(report: Mapping[str, Any]) -> dict[str, Bars]:
    cases: dict[str, Bars] = {}
    for name, told in report["systems"].items():
        for case, figures in told["cases"].items():
            # Without subscribers to send to, how fast one can send is no limit worth showing.
            if not (_is_limit(name) and _scenario(report, case)["subscribers"] == 1):
                cases.setdefault(case, {})[name] = figures["deliveries_per_s"]
    return cases


def _is_limit(name: str) -> bool:
    return name.startswith("C,")


def _scenario(report: Mapping[str, Any], case: str) -> dict[str, Any]:
    name = case.rpartition(" ")[0]
    return next(one for one in report["parameters"]["scenarios"] if one["name"] == name)


def _head(report: Mapping[str, Any], height: int) -> Iterator[str]:
    told, where = report["parameters"], report["environment"]
    below = (
        f"{told['bytes per delivery']} bytes per delivery · medians of {told['rounds']} alternating rounds · "
        f"server and client on one core each · {where['processor']}"
    )
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13">'
    )
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    yield _text(MARGIN, 36, "Deliveries per second", size=20, weight="bold")
    yield _text(MARGIN, 58, below, fill=PALE, size=12)


def _panels(report: Mapping[str, Any], cases: Mapping[str, Bars]) -> Iterator[str]:
    top = 76
    for case, bars in cases.items():
        yield _text(MARGIN, top + 20, _title(report, case), size=14, weight="bold")
        top += PANEL
        for name, value in sorted(bars.items(), key=lambda bar: -bar[1]):
            yield from _bar(top, name, value, max(bars.values()))
            top += BAR + GAP
        top += GAP


def _title(report: Mapping[str, Any], case: str) -> str:
    scenario, window = _scenario(report, case), case.rpartition(" ")[2]
    publishers, subscribers = scenario["publishers"], scenario["subscribers"]
    every = ", every message acknowledged" if scenario["acknowledged"] else ""
    each = " per device" if publishers > 1 else ""
    return f"{publishers:,} → {subscribers:,}, {window} in flight{each}{every}"


def _bar(top: int, name: str, value: float, longest: float) -> Iterator[str]:
    left = MARGIN + LABELS
    length = (WIDTH - MARGIN - left - VALUES) * value / longest
    weight = "bold" if name.startswith("hub") else "normal"
    yield _text(left - 10, top + 15, name, anchor="end", weight=weight)
    yield f'<rect x="{left}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" rx="2" fill="{_colour(name)}"/>'
    yield _text(round(left + length + 8), top + 15, _value(value), weight=weight)


def _colour(name: str) -> str:
    if name.startswith("hub"):
        return OURS_QUEUED if "queued" in name else OURS
    return LIMIT if _is_limit(name) else PEER


def _value(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:,.0f} k"


def _text(
    x: int, y: int, text: str, *, size: int = 13, fill: str = INK, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
