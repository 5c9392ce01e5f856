"""The hub's requests as bytes: whole frames, made once where they can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import orjson

from hub.bench import token
from hub.bench.plan import WireCodec
from hub.bench.wire import BINARY, TEXT, masked
from protocol.names import Action, Kind, Subprotocol

NAME = "measured"
"""Name of every notification and command of a run."""
SETUP_ID, INSERT_ID, UPDATE_ID = 1, 2, 3
"""Request ids: answers come in the order of the requests, so one number for each kind is enough."""

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """A frame with a place for a token."""

    before: bytes
    after: bytes

    def fill(self, publisher: int, number: int, time_us: int) -> bytes:
        return self.before + token.write(publisher, number, time_us) + self.after


class Speech:
    """One way to write requests and read answers.

    Attributes:
        subprotocol: to be asked for in the handshake; None: as the first clients speak.
        success: what every answer to a request that succeeded contains.
        sent: what an update contains that tells no more than that its command was sent.
    """

    def __init__(self, codec: WireCodec) -> None:
        self.binary = codec is WireCodec.MSGPACK
        self.subprotocol = Subprotocol.MSGPACK.value if self.binary else None
        self.success = b"\xa6status\xa7success" if self.binary else b'"status":"success"'
        self.sent = b"\xa5state\xa4sent" if self.binary else b'"state":"sent"'

    def encode(self, members: Members) -> bytes:
        packed: bytes = msgpack.packb(members) if self.binary else orjson.dumps(members)
        return packed

    def decode(self, payload: bytes) -> dict[str, Any]:
        """The members of a message; none where it makes no sense."""
        try:
            members = msgpack.unpackb(payload) if self.binary else orjson.loads(payload)
        except ValueError:
            return {}
        return members if isinstance(members, dict) else {}

    def frame(self, action: Action, request_id: int, **members: Any) -> bytes:
        payload = self.encode({"action": action.value, "requestId": request_id, **members})
        return masked(BINARY if self.binary else TEXT, payload)

    # --- requests

    def authenticate(self, **credentials: str) -> bytes:
        return self.frame(Action.AUTHENTICATE, SETUP_ID, **credentials)

    def subscribe(self, kind: Kind, guids: list[str] | None, *, since: int | None = None) -> bytes:
        action = Action.NOTIFICATION_SUBSCRIBE if kind is Kind.NOTIFICATION else Action.COMMAND_SUBSCRIBE
        asked: dict[str, Any] = {} if guids is None else {"deviceGuids": guids}
        if since is not None:
            asked["since"] = since
        return self.frame(action, SETUP_ID, **asked)

    def notification(self, guid: str, payload_bytes: int) -> Template:
        message = {"notification": NAME, "parameters": self.parameters(payload_bytes)}
        return self._template(Action.NOTIFICATION_INSERT, deviceGuid=guid, notification=message)

    def command(self, guid: str, payload_bytes: int) -> Template:
        message = {"command": NAME, "parameters": self.parameters(payload_bytes)}
        return self._template(Action.COMMAND_INSERT, deviceGuid=guid, command=message)

    def update(self, guid: str, command_id: int) -> bytes:
        done = {"status": "done", "result": {"ok": True}}
        return self.frame(Action.COMMAND_UPDATE, UPDATE_ID, deviceGuid=guid, commandId=command_id, command=done)

    def parameters(self, payload_bytes: int) -> dict[str, str]:
        """Parameters of this encoded size, with a token."""
        written = token.write(0, 0, 0).decode()
        pad = payload_bytes - len(self.encode({"m": written, "p": ""}))
        # A longer text may need a longer length of its own.
        over = len(self.encode({"m": written, "p": "x" * pad})) - payload_bytes
        return {"m": written, "p": "x" * (pad - over)}

    def _template(self, action: Action, **members: Any) -> Template:
        before, after = self.frame(action, INSERT_ID, **members).split(token.write(0, 0, 0))
        return Template(before, after)

    # --- what comes back

    def refusal(self, payload: bytes) -> str | None:
        """Why a request failed, to be counted by; None: it succeeded."""
        if self.success in payload:
            return None
        members = self.decode(payload)
        return f"{members.get('action', 'request')} {members.get('code', 'failed')}"

    def retry_after_s(self, payload: bytes) -> float | None:
        value = self.decode(payload).get("retryAfter")
        return float(value) if isinstance(value, int | float) else None

    def message_id(self, frame: bytes) -> int | None:
        """The id of a pushed notification, from its whole frame."""
        if len(frame) < 4:
            return None
        skip = {126: 4, 127: 10}.get(frame[1], 2)
        shown = self.decode(frame[skip:]).get("notification")
        return shown["id"] if isinstance(shown, dict) and isinstance(shown.get("id"), int) else None
