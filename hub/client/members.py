"""Members of requests, and of answers."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def describe_notification(name: str, parameters: Any, idempotency_key: str | None) -> dict[str, Any]:
    """Of a ``notification/insert``, without its device."""
    return {
        "notification": {"notification": name, "parameters": parameters},
        "idempotencyKey": idempotency_key or uuid.uuid4().hex,
    }


def describe_command(
    device: str, name: str, parameters: Any, lifetime_s: int | None, idempotency_key: str | None, *, queue: bool
) -> dict[str, Any]:
    """Of a ``command/insert``."""
    command: dict[str, Any] = {"command": name, "parameters": parameters}
    if lifetime_s is not None:
        command["lifetime"] = lifetime_s
    members = {"deviceGuid": device, "command": command, "idempotencyKey": idempotency_key or uuid.uuid4().hex}
    return members if queue else {**members, "queue": False}


def name_command(device: str, command_id: int) -> dict[str, Any]:
    """Of what is asked about one command."""
    return {"deviceGuid": device, "commandId": command_id}


def describe_update(device: str, command_id: int, status: str, result: Any) -> dict[str, Any]:
    """Of a ``command/update``."""
    command = {"status": status} if result is None else {"status": status, "result": result}
    return {**name_command(device, command_id), "command": command}


def read_object(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object in an answer; empty where there is none."""
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def write_time(timestamp: datetime | str | None) -> str | None:
    """A time as the wire takes it."""
    if isinstance(timestamp, datetime):
        return timestamp.astimezone(UTC).isoformat(timespec="milliseconds")
    return timestamp
