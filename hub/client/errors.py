"""What can go wrong for a program that uses the client. None of the texts ever holds a secret."""

from collections.abc import Mapping
from typing import Any

from protocol.client_events import Refusal


class ClientError(Exception):
    """Every error of the client is one of these, but for :class:`protocol.client.ClientLimit`."""


class HubRefused(ClientError):
    """The hub understood, and said no.

    Attributes:
        code: as HTTP has it.
        text: the hub's sentence.
        reason: stable, kebab-case; None from a hub that does not give reasons.
        detail: what refused, by name; None where the hub does not tell.
        retry_after_s: how long to wait before trying again; None: waiting does not help, as far as is known.
    """

    def __init__(self, refusal: Refusal, doing: str) -> None:
        super().__init__(f"{doing}: {refusal.text or 'refused'} ({refusal.code})")
        self.code = refusal.code
        self.text = refusal.text
        self.reason = refusal.reason
        self.detail: Mapping[str, Any] | None = refusal.detail
        self.retry_after_s = refusal.retry_after_s


class CredentialsRefused(HubRefused):
    """The hub does not take the credentials, or no longer. The client has stopped reconnecting."""


class ConnectionLost(ClientError):
    """There is no connection.

    For an insert: it broke before the answer, and this hub cannot be trusted to recognise a repetition. The message may
    have been inserted. For anything else: the client is closed, or could not connect.
    """


class Replaced(ConnectionLost):
    """A newer connection of the same device took this one's place, so the client has stopped reconnecting."""


class NoAnswer(ClientError, TimeoutError):
    """The deadline passed. What was asked for may have been done all the same.

    Attributes:
        command_id: of the command whose result did not come; None if even the hub's answer did not.
    """

    def __init__(self, text: str, *, command_id: int | None = None) -> None:
        super().__init__(text)
        self.command_id = command_id
