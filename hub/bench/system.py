"""What a run ran on: facts without which its figures mean nothing."""

import http.client
import os
import platform
import re
import ssl
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from protocol.version import __version__

ASK_S = 5.0
METRICS_MAX_BYTES = 1024 * 1024
_INFO = re.compile(r"^hub_info\{(.*)\} 1", re.M)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_CLOSED = re.compile(r'^hub_connections_closed_total\{code="(\d{4})"\} ([\d.e+]+)$', re.M)
_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.M)


def facts(url: str) -> dict[str, Any]:
    """This machine, this tool, and what the hub says of itself."""
    return {
        "tool": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": _version("uvloop"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        **hub_facts(url),
    }


def processor() -> str:
    """The processor's model, as far as the system tells."""
    try:
        found = _MODEL.search(Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def closes(url: str) -> dict[str, int]:
    """How many connections the hub has closed with each code, as it says itself. Peers that do not read see none."""
    try:
        return {code: int(float(count)) for code, count in _CLOSED.findall(_metrics(url))}
    except (OSError, http.client.HTTPException):
        return {}


def hub_facts(url: str) -> dict[str, str]:
    """The hub's version, limits profile and durability, from its metrics; empty where it has none for us."""
    try:
        text = _metrics(url)
    except (OSError, http.client.HTTPException):
        return {}
    found = _INFO.search(text)
    labels = dict(_LABEL.findall(found.group(1))) if found else {}
    names = {"version": "hub", "limits": "limits", "durability": "durability"}
    return {name: labels[label] for label, name in names.items() if label in labels}


def _metrics(url: str) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    made: http.client.HTTPConnection
    if parts.scheme == "wss":
        made = http.client.HTTPSConnection(host, port, timeout=ASK_S, context=ssl.create_default_context())
    else:
        made = http.client.HTTPConnection(host, port, timeout=ASK_S)
    try:
        made.request("GET", "/metrics")
        response = made.getresponse()
        return (
            response.read(METRICS_MAX_BYTES).decode(errors="replace") if response.status == http.HTTPStatus.OK else ""
        )
    finally:
        made.close()
