"""What an installation chooses about its REST API."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestOptions:
    """Bounds and choices; each is a setting of the same meaning, unless it says otherwise.

    Attributes:
        as_devicehive: ``HUB_COMPAT=devicehive``: the looser rules that have no setting of their own.
        allowed_origins: origins besides the own host from which stored Basic credentials may change something.
        public_url: scheme and host that peers are told; None: those that they asked for.
        body_bytes: of a request; past it: 413.
        message_bytes: of a command or notification; past it: 413.
        requests_per_s, request_burst: of one key, user, device, or address of nobody; past it: 429. 0: no limit.
    """

    as_devicehive: bool = False
    allowed_origins: frozenset[str] = frozenset()
    context_paths: tuple[str, ...] = ("/api", "/dh", "")
    public_url: str | None = None
    body_bytes: int = 262_144
    message_bytes: int = 65_536
    requests_per_s: float = 100.0
    request_burst: int = 200
