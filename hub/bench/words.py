"""A result in words: what ran, and what the check found."""

from hub.bench.result import Check, Result

SIZES = {
    "connect": ("dashboards",),
    "fanout": ("publishers", "dashboards"),
    "fanin": ("devices", "dashboards"),
    "commands": ("dashboards", "devices"),
    "mixed": ("devices", "dashboards"),
    "reconnect": ("publishers", "dashboards"),
    "slow": ("publishers", "dashboards"),
}
"""Which numbers a scenario is about, from those who send to those who receive."""
CALLED = {"connect": {"dashboards": "connections"}}


def what_ran(result: Result) -> str:
    """Sizes, pace and length: ``1 publisher → 1,000 dashboards · 16 in flight · 10 s``."""
    lasted = f"{result.duration_s:.3g} s"
    runs = f"{len(result.runs)} runs of {lasted}, medians" if result.runs else lasted
    return " · ".join(part for part in (_sizes(result), _pace(result), runs) if part)


def check_words(check: Check) -> str:
    """What the check found, in a sentence."""
    if not check.checked:
        return "not checked for loss, repetition and order"
    if check.passed:
        return "nothing lost, repeated or reordered"
    counts = (("lost", check.lost), ("repeated", check.repeated), ("reordered", check.reordered))
    return ", ".join(f"{count:,} {name}" for name, count in counts if count)


def _sizes(result: Result) -> str:
    called = CALLED.get(result.scenario, {})
    names = [name for name in SIZES.get(result.scenario, ()) if isinstance(result.parameters.get(name), int)]
    return " → ".join(_counted(result.parameters[name], called.get(name, name)) for name in names)


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name.removesuffix('s') if count == 1 else name}"


def _pace(result: Result) -> str:
    rate, window = result.parameters.get("rate"), result.parameters.get("window")
    if isinstance(rate, int | float):
        return f"{rate:,.10g} per second"
    if result.scenario == "connect":
        return "as fast as they come"
    return f"{window:,} in flight{_each(result.scenario)}" if isinstance(window, int) else ""


def _each(scenario: str) -> str:
    return {"fanin": " per device", "commands": " per dashboard"}.get(scenario, "")
