"""Settings: one model, read once at start and handed down as arguments.

A value comes from the first of these that has it: the command line, the environment (``HUB_PORT``), ``.env``,
``hub.toml`` (``port``), what ``HUB_LIMITS`` and ``HUB_COMPAT`` imply, the default. ``Settings.load`` reads them all;
``Settings(port=0)`` reads nothing from outside, for tests and for programs that embed the hub.

A name that nobody knows is an error in each of these places: a misspelt limit must not silently be no limit.
"""

import os
import resource
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from hub.settings_places import SettingsError, read_places, told
from hub.settings_urls import Url, checked_endpoint
from protocol import API_VERSION

__all__ = ["COMPAT", "LIMITS", "PUBLISHED_PASSWORDS", "Settings", "SettingsError"]

KIB, MIB = 1024, 1024 * 1024
HOUR_S, DAY_S = 3600, 86_400
CONNECTIONS_MAX = 16_000
SEND_MEMORY_MAX = 512 * MIB

PUBLISHED_PASSWORDS = frozenset(
    {"dhadmin_#911", "dhadmin", "admin", "administrator", "password", "changeme", "secret", "root", "12345678"}
)
"""Passwords that everybody knows; an administrator must not have one."""

COMPAT: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "devicehive": {
        "anonymous_registration": "open",
        "network_auto_create": True,
        "devices_self_unblock": True,
        "access_keys_readable": True,
        "keys_attenuate": False,
        "command_lifetime": "ignore",
        "login_lockout_after": 10,
        "message_bytes_anonymous": 64 * KIB,
        "authenticate_client_s": 0.0,
        "authenticate_device_s": 0.0,
        "anonymous_requests": 0,
        "websocket_ping_timeout_ms": 120_000,
        "connections_per_device": 0,
        "accepts_per_key_per_s": 0.0,
        "rest_requests_per_s": 0.0,
        "polls_per_key": 0,
        "messages_per_list": 0,
    },
}
"""What HUB_COMPAT implies; an explicit setting wins over it."""

LIMITS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "bench": {
        "pings_per_s": 1_000_000,
        "ping_burst": 1_000_000,
        "accepts_per_s": 0.0,
        "accepts_per_key_per_s": 0.0,
        "connections_per_address": 0,
        "connections_per_user": 0,
        "connections_per_device": 0,
        "messages_per_s": 0,
        "message_bytes_per_s": 0,
        "rest_requests_per_s": 0.0,
        "polls_per_key": 0,
    },
}
"""What HUB_LIMITS implies: ``bench`` lifts rates and counts of connections, never memory or sizes."""


def _listed(value: object) -> object:
    """A list, or text with commas between the items; empty text is an empty list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _prefixes(value: object) -> object:
    """The same, but the item between two commas may be empty, and empty text is one empty item."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


Listed = BeforeValidator(_listed)
Unsettable = BeforeValidator(_blank_is_unset)
"""In an environment file ``HUB_PUBLIC_URL=`` means: not set."""


class Settings(BaseSettings):
    """Everything that an installation can choose. Times and sizes carry their unit in the name."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=False, hide_input_in_errors=True
    )

    # Where
    host: Annotated[str, Field(min_length=1, description="address to listen on; 0.0.0.0 or :: for all")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="TCP port; 0 takes a free one")] = 8080
    database_url: Annotated[
        Url, Field(description="where everything is kept: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")
    ] = Url("sqlite:///hub.db")
    database_pool: Annotated[int, Field(ge=2, le=100, description="connections to PostgreSQL that only read")] = 8
    bus_url: Annotated[
        Url | None, Unsettable, Field(description="bus between workers: redis://HOST; unset: there is one worker")
    ] = None
    bus_prefix: Annotated[
        str, Field(pattern=r"^[\w.-]{1,32}$", description="how the names of our channels in Redis begin")
    ] = "hub"
    bus_buffer_bytes: Annotated[
        int, Field(ge=65_536, description="bytes of bundles that wait for the bus; more is left to the log")
    ] = 33_554_432
    heartbeat_s: Annotated[
        float, Field(ge=0.1, le=60, description="seconds between two signs of life for the other workers")
    ] = 1.0
    lease_s: Annotated[
        float, Field(ge=0.5, le=600, description="seconds until a silent worker is succeeded in what only one may do")
    ] = 10.0
    bus_poll_s: Annotated[
        float, Field(ge=0.1, le=60, description="seconds between two looks into the log while the bus is away")
    ] = 1.0
    bus_wait_s: Annotated[
        float,
        Field(ge=0, le=10, description="seconds that an answer may wait for its place on the bus; 0: it does not wait"),
    ] = 0.1
    replay_overlap_s: Annotated[
        float,
        Field(
            ge=0, le=600, description="seconds before its id at which a resume begins where there are several workers"
        ),
    ] = 5.0
    idle_topic_s: Annotated[
        float, Field(ge=0, le=3_600, description="seconds that a worker still hears of what no socket needs any more")
    ] = 30.0
    workers: Annotated[int, Field(ge=1, le=1024, description="processes that serve; more than one needs a bus")] = 1
    context_paths: Annotated[
        list[str],
        BeforeValidator(_prefixes),
        Field(min_length=1, description="prefixes of /rest and /websocket; empty: none"),
    ] = ["/api", "/dh", ""]
    public_url: Annotated[
        str | None, Unsettable, Field(description="http(s) address that peers are told; unset: what they asked for")
    ] = None
    tls_certificate: Annotated[
        Path | None, Unsettable, Field(description="PEM file with the certificate chain; turns TLS on")
    ] = None
    tls_key: Annotated[Path | None, Unsettable, Field(description="PEM file with the certificate's key")] = None
    trusted_proxies: Annotated[
        list[str], Listed, Field(description="addresses or CIDR blocks whose X-Forwarded-For and -Proto count")
    ] = []
    allowed_origins: Annotated[
        list[str],
        Listed,
        Field(
            description="origins (scheme://host[:port]) whose cookies and stored Basic logins count; own host always"
        ),
    ] = []

    # How it behaves
    compat: Annotated[
        Literal["", "devicehive"], Field(description="devicehive: behave as DeviceHive 2.0 did, less safely")
    ] = ""
    limits: Annotated[
        Literal["default", "bench"], Field(description="bench: no rates, no counts of connections; for load generators")
    ] = "default"
    api_version: Annotated[
        str, Field(min_length=1, max_length=32, description="API version that server/info tells")
    ] = API_VERSION
    durability: Annotated[
        Literal["commit", "queued"],
        Field(description="commit: answered when it is on disk; queued: notifications are answered before that"),
    ] = "commit"
    anonymous_registration: Annotated[
        Literal["off", "network-key", "open"],
        Field(description="new devices from nobody in particular: never, with the key of an existing network, or any"),
    ] = "network-key"
    network_auto_create: Annotated[
        bool, Field(description="registrations may create networks for everybody, not just for network managers")
    ] = False
    keys_attenuate: Annotated[bool, Field(description="a key made with a key gets no right that its maker lacks")] = (
        True
    )
    command_lifetime: Annotated[
        Literal["enforce", "ignore"], Field(description="whether an expired command is withheld from its device")
    ] = "enforce"
    devices_gateway_mode: Annotated[
        bool, Field(description="one device connection may speak for several devices, each message with its own key")
    ] = True
    devices_notify_offline: Annotated[
        bool, Field(description="publish $device-update when a device turns Offline by its class's timeout")
    ] = True
    devices_offline_check_s: Annotated[
        Annotated[float, Field(gt=0)] | None,
        Unsettable,
        Field(description="seconds between looks for silent devices; unset: within 1 s + 10 % of each timeout"),
    ] = None
    devices_self_unblock: Annotated[
        bool, Field(description="apply `blocked` sent by devices and anonymous callers")
    ] = False
    auth_cross_endpoint: Annotated[
        bool, Field(description="authenticate takes logins on /device and device keys on /client too")
    ] = False

    # Secrets and accounts
    admin_login: Annotated[
        str, Field(min_length=1, max_length=64, description="login of the administrator made at the first start")
    ] = "dhadmin"
    admin_password: Annotated[
        SecretStr | None,
        Unsettable,
        Field(description="password of that administrator; unset: generated, and printed once"),
    ] = None
    pepper: Annotated[
        SecretStr | None,
        Unsettable,
        Field(description="secret behind the hashes of keys, 32 characters or more; new,old while it is rotated"),
    ] = None
    pepper_file: Annotated[
        Path | None, Unsettable, Field(description="file with that secret; unset: made beside the database")
    ] = None
    access_keys_readable: Annotated[
        bool, Field(description="keep a sealed copy of access keys, so that they can be shown again")
    ] = False
    login_lockout_after: Annotated[
        int, Field(ge=0, description="wrong passwords after which a user is LOCKED_OUT; 0: never, they are slowed down")
    ] = 0
    failed_logins_per_minute: Annotated[
        int,
        Field(ge=1, description="wrong passwords per account and address block (/24, /64); past it: 401, unchecked"),
    ] = 5
    failed_logins_per_block_per_minute: Annotated[
        int, Field(ge=1, description="wrong passwords per address block over all accounts; past it: 401, unchecked")
    ] = 60
    login_last_timeout_ms: Annotated[
        int, Field(ge=0, description="milliseconds between two updates of a user's lastLogin")
    ] = 1_000
    session_timeout_ms: Annotated[
        int, Field(ge=1_000, description="milliseconds that a session key lives from its last use on; then 401")
    ] = 1_200_000
    password_workers: Annotated[
        int, Field(ge=1, le=64, description="threads that check passwords (64 MiB of memory and ~0.1 s of CPU each)")
    ] = 2
    password_queue: Annotated[int, Field(ge=1, description="passwords waiting for a check; past it: 503")] = 64

    # Identity providers
    google_token_url: Annotated[str, Field(description="where Google exchanges a code for a token")] = (
        "https://www.googleapis.com/oauth2/v3/token"  # noqa: S105 - an address
    )
    google_verification_url: Annotated[str, Field(description="where Google says whom a token was made for")] = (
        "https://www.googleapis.com/oauth2/v1/tokeninfo"
    )
    facebook_token_url: Annotated[str, Field(description="where Facebook exchanges a code for a token")] = (
        "https://graph.facebook.com/oauth/access_token"  # noqa: S105 - an address
    )
    facebook_verification_url: Annotated[str, Field(description="where Facebook says whom a token was made for")] = (
        "https://graph.facebook.com/app"
    )
    facebook_api_url: Annotated[str, Field(description="where Facebook says whose a token is")] = (
        "https://graph.facebook.com/me?fields=email"
    )
    github_token_url: Annotated[str, Field(description="where Github exchanges a code for a token")] = (
        "https://github.com/login/oauth/access_token"  # noqa: S105 - an address
    )
    github_api_url: Annotated[str, Field(description="where Github says whose a token is")] = (
        "https://api.github.com/user/emails"
    )
    provider_networks: Annotated[
        list[str],
        Listed,
        Field(description="CIDR blocks of identity providers that are not on the internet; http is taken there, too"),
    ] = []
    provider_wait_s: Annotated[
        float, Field(gt=0, le=120, description="seconds that asking an identity provider may take; past it: error 503")
    ] = 10.0
    provider_answer_bytes: Annotated[
        int, Field(ge=KIB, le=MIB, description="bytes of an answer of an identity provider; past it: error 401 or 503")
    ] = 64 * KIB
    provider_logins: Annotated[
        int, Field(ge=1, description="logins that wait for identity providers at the same time; past it: error 503")
    ] = 16

    # Limits of a connection
    message_bytes: Annotated[
        int, Field(ge=30 * KIB, le=64 * MIB, description="bytes of one message, at least 30720; past it: close 1009")
    ] = 64 * KIB
    message_bytes_anonymous: Annotated[
        int,
        Field(
            ge=KIB,
            le=64 * MIB,
            description="bytes of one message before authentication, at most message_bytes; past it: close 1009",
        ),
    ] = 8 * KIB
    fragments: Annotated[int, Field(ge=1, description="frames of one message; past it: close 1009")] = 64
    json_depth: Annotated[
        int, Field(ge=4, le=100, description="levels of one message, JSON or MessagePack; past it: error 400")
    ] = 32
    json_nodes: Annotated[
        int, Field(ge=256, le=1_000_000, description="values in one message, JSON or MessagePack; past it: error 400")
    ] = 16_384
    messages_per_s: Annotated[
        int, Field(ge=0, description="messages of one socket per second; past it reading pauses. 0: no limit")
    ] = 1_000
    message_burst: Annotated[int, Field(ge=1, description="messages of one socket at once; past it reading pauses")] = (
        2_000
    )
    message_bytes_per_s: Annotated[
        int,
        Field(ge=0, description="bytes from one socket per second, twice as many at once; past it: as messages_per_s"),
    ] = 4 * MIB
    throttled_s: Annotated[
        float,
        Field(gt=0, description="seconds that a socket may go on over its rates; then error 429 and close 1008"),
    ] = 10.0
    handshake_s: Annotated[
        float, Field(gt=0, description="seconds to finish an HTTP request or the upgrade; then the socket is closed")
    ] = 10.0
    authenticate_client_s: Annotated[
        float, Field(ge=0, description="seconds to authenticate on /websocket/client; then close 4401. 0: no limit")
    ] = 10.0
    authenticate_device_s: Annotated[
        float, Field(ge=0, description="seconds to authenticate on /websocket/device; then close 4401. 0: no limit")
    ] = 30.0
    anonymous_requests: Annotated[
        int, Field(ge=0, description="requests before authentication; past it: close 4401. 0: no limit")
    ] = 20
    websocket_ping_timeout_ms: Annotated[
        Annotated[int, Field(ge=1_000)] | None,
        Unsettable,
        Field(description="longest silence of a peer in milliseconds, then close 1011; unset: pings decide"),
    ] = None
    ping_interval_s: Annotated[float, Field(gt=0, description="seconds of silence before the hub pings")] = 30.0
    ping_timeout_s: Annotated[
        float, Field(gt=0, description="seconds that any sign of life may take after a ping; then close 1011")
    ] = 20.0
    pings_per_s: Annotated[
        int, Field(ge=1, description="pings that a peer may send per second; past it: close 1008")
    ] = 10
    ping_burst: Annotated[int, Field(ge=1, description="pings that a peer may send at once; past it: close 1008")] = 20
    pong_backlog_bytes: Annotated[
        int, Field(ge=0, description="bytes that a peer may leave unread and still get pongs; past it: no pong")
    ] = 64 * KIB
    outbox_bytes: Annotated[
        int, Field(ge=128 * KIB, description="bytes waiting for one socket; past it: close 4008")
    ] = MIB
    outbox_wait_s: Annotated[
        float, Field(gt=0, description="seconds that the oldest waiting byte of a socket may wait; then close 4008")
    ] = 10.0
    write_wait_s: Annotated[
        float, Field(gt=0, description="seconds without progress on a socket with bytes waiting; then close 4008")
    ] = 10.0
    close_wait_s: Annotated[
        float, Field(gt=0, description="seconds to wait for the peer's close frame; then the socket is cut")
    ] = 5.0
    listeners_per_connection: Annotated[
        int,
        Field(ge=1, description="commands that a connection hears the updates of; past it the oldest is forgotten"),
    ] = 10_000
    subscriptions_per_connection: Annotated[
        int, Field(ge=1, description="subscriptions of one connection; past it: error 400")
    ] = 256
    devices_per_subscription: Annotated[
        int, Field(ge=1, description="devices that one subscription may name; past it: error 400")
    ] = 1_000
    in_flight_requests: Annotated[
        int, Field(ge=1, description="requests of one connection waiting for their commit; past it reading pauses")
    ] = 16

    # Limits of the process
    messages_per_turn: Annotated[
        int, Field(ge=1, description="messages that one turn of the event loop takes in; past it the next turn goes on")
    ] = 512
    connections: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Unsettable,
        Field(description="sockets of one process; past it: 503. Unset: 80 % of the descriptors, at most 16000"),
    ] = None
    connections_per_address: Annotated[
        int, Field(ge=0, description="connections of one IPv4 address or IPv6 /64; past it: 503. 0: no limit")
    ] = 1_000
    connections_per_user: Annotated[
        int, Field(ge=0, description="connections of one user, by any of the user's keys; past it: 503. 0: no limit")
    ] = 1_000
    connections_per_device: Annotated[
        int, Field(ge=0, description="connections of one device; past it the oldest: close 4409. 0: no limit")
    ] = 2
    accepts_per_s: Annotated[
        float, Field(ge=0, description="WebSocket handshakes per second; past it: 503. 0: no limit")
    ] = 200.0
    accept_burst: Annotated[int, Field(ge=1, description="WebSocket handshakes at once; past it: 503")] = 200
    accepts_per_key_per_s: Annotated[
        float,
        Field(ge=0, description="authentications per second with one key; past it: 503, error 429. 0: no limit"),
    ] = 2.0
    accept_burst_per_key: Annotated[
        int, Field(ge=1, description="authentications at once with one key; past it: 503, error 429")
    ] = 10
    send_memory_bytes: Annotated[
        Annotated[int, Field(ge=MIB)] | None,
        Unsettable,
        Field(
            description="bytes unsent on all sockets; past it the largest: close 4008. Unset: 25 % of RAM, to 512 MiB"
        ),
    ] = None
    pending_writes: Annotated[int, Field(ge=1, description="writes that may wait for the log; past it: error 503")] = (
        100_000
    )
    pending_write_bytes: Annotated[
        int, Field(ge=MIB, description="bytes of the writes that wait for the log, about; past it: error 503")
    ] = 64 * MIB
    http_header_bytes: Annotated[
        int, Field(ge=KIB, le=MIB, description="bytes of an HTTP request's line and headers; past it: 431")
    ] = 16 * KIB
    http_headers: Annotated[int, Field(ge=8, le=1_000, description="headers of an HTTP request; past it: 431")] = 64
    http_body_bytes: Annotated[
        int, Field(ge=KIB, le=64 * MIB, description="bytes of the body of an HTTP request; past it: 413")
    ] = 256 * KIB
    rest_requests_per_s: Annotated[
        float,
        Field(ge=0, description="REST requests per second of one key, user, device or address; past it: 429. 0: any"),
    ] = 100.0
    rest_request_burst: Annotated[
        int, Field(ge=1, description="REST requests at once of one key, user, device or address; past it: 429")
    ] = 200
    poll_wait_s: Annotated[
        int, Field(ge=0, le=3_600, description="seconds that a long poll waits which does not say how long")
    ] = 30
    poll_wait_most_s: Annotated[
        int, Field(ge=1, le=3_600, description="seconds that a long poll may ask to wait; past it: error 400")
    ] = 60
    polls: Annotated[int, Field(ge=1, description="long polls of one process under way; past it: error 429")] = 2_000
    polls_per_key: Annotated[
        int, Field(ge=0, description="long polls of one key, user or device under way; past it: error 429. 0: any")
    ] = 4
    messages_per_list: Annotated[
        int, Field(ge=0, description="messages that a list may ask for (take); past it: error 400. 0: no limit")
    ] = 1_000
    database_wait_s: Annotated[
        float, Field(gt=0, description="seconds that the database may take; past it: error 503")
    ] = 5.0
    device_cache: Annotated[int, Field(ge=1, description="devices kept in memory per process, about 1 KiB each")] = (
        100_000
    )
    change_poll_s: Annotated[
        float, Field(gt=0, le=0.5, description="seconds between looks for changes made beside the hub, at most 0.5")
    ] = 0.5

    # The log
    retention_commands_s: Annotated[
        int, Field(ge=60, description="seconds that commands are kept; older ones: recovered false on resume")
    ] = 7 * DAY_S
    retention_notifications_s: Annotated[
        int, Field(ge=60, description="seconds that notifications are kept; older ones: recovered false on resume")
    ] = 24 * HOUR_S
    retention_rows_per_device: Annotated[
        int,
        Field(ge=100, description="messages kept per device and kind; open commands go by age only"),
    ] = 10_000
    open_commands_per_device: Annotated[
        int, Field(ge=1, description="commands of a device neither answered nor expired; past it: error 429")
    ] = 10_000
    equipment_per_class: Annotated[
        int, Field(ge=1, le=10_000, description="pieces of equipment of a device class; past it: error 400")
    ] = 256
    replay_page: Annotated[int, Field(ge=1, le=1_000, description="messages of one read of the log, at most 1000")] = (
        1_000
    )
    replays_at_once: Annotated[
        int, Field(ge=1, description="replays that read the log at the same time; more of them wait")
    ] = 16

    # Running it
    drain_s: Annotated[float, Field(ge=0, description="seconds over which a shutdown closes its sockets (1012)")] = 30.0
    drain_share_per_s: Annotated[
        float, Field(gt=0, le=1, description="share of its sockets that a shutdown closes per second at most (1012)")
    ] = 0.2
    deflate: Annotated[bool, Field(description="permessage-deflate; costs about 64 KiB a connection")] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least severity that is logged")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], Field(description="auto: json unless the log goes to a terminal")
    ] = "auto"
    metrics: Annotated[bool, Field(description="answer GET /metrics")] = True
    tracing: Annotated[
        bool, Field(description="OpenTelemetry spans of inserts, by the OTEL_ variables; needs device-hub[tracing]")
    ] = False
    tracing_sample_ratio: Annotated[
        float,
        Field(
            ge=0, le=1, description="share of traces that is followed, unless OTEL_TRACES_SAMPLER or the sender decides"
        ),
    ] = 0.01
    worker_metrics_port: Annotated[
        Annotated[int, Field(ge=1, le=64_000)] | None,
        Unsettable,
        Field(
            description="worker k answers /metrics, /slowest and /ready on this TCP port + k too; unset: it does not"
        ),
    ] = None

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, _Implied(settings_cls))

    @classmethod
    def load(
        cls,
        command_line: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Self:
        """Read the settings from everywhere.

        Args:
            command_line: by field name; a None counts as not given.
            environ: the process's environment unless given.
            directory: where ``.env`` and ``hub.toml`` may lie; the working directory unless given.

        Raises:
            SettingsError: with every problem that was found.
        """
        places = read_places(
            cls.model_fields, command_line or {}, os.environ if environ is None else environ, directory or Path()
        )
        try:
            settings = cls(**places.values)
        except ValidationError as exc:
            raise SettingsError([*places.problems, *told(exc, places.sources, cls.model_fields)]) from None
        if places.problems:
            raise SettingsError(places.problems)
        settings._sources.update(places.sources)
        return settings

    def source_of(self, name: str) -> str:
        """Where a value came from: ``command line``, ``environment``, ``.env``, ``hub.toml``, ``HUB_LIMITS``,
        ``HUB_COMPAT``, ``default``; or ``given``, by a program that made the settings itself."""
        if name in self._sources:
            return self._sources[name]
        if name not in self.model_fields_set:
            return "default"
        if name in LIMITS[self.limits]:
            return "HUB_LIMITS"
        return "HUB_COMPAT" if name in COMPAT[self.compat] else "given"

    # --- what follows from the values ---------------------------------------------------------------------------------

    @property
    def database_path(self) -> Path | None:
        """The database's file; None: there is none, but a server."""
        if self.database_url.scheme != "sqlite":
            return None
        path = self.database_url.text.removeprefix("sqlite:///")
        return None if path == ":memory:" else Path(path)

    @property
    def data_directory(self) -> Path:
        """Where files beside the database go."""
        return self.database_path.parent if self.database_path is not None else Path()

    @property
    def pepper_path(self) -> Path:
        """The file of the pepper, where no pepper is given outright."""
        if self.pepper_file is not None:
            return self.pepper_file
        return self.database_path.with_suffix(".pepper") if self.database_path is not None else Path("hub.pepper")

    @property
    def connection_limit(self) -> int:
        """Sockets that this process takes: the setting, or what its file descriptors allow."""
        if self.connections is not None:
            return self.connections
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors == resource.RLIM_INFINITY:
            return CONNECTIONS_MAX
        return max(1, min(CONNECTIONS_MAX, descriptors * 8 // 10))

    @property
    def send_memory_limit(self) -> int:
        """Bytes that may be unsent on all sockets: the setting, or what the machine allows."""
        if self.send_memory_bytes is not None:
            return self.send_memory_bytes
        return min(SEND_MEMORY_MAX, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None

    def warnings(self) -> list[str]:
        """What an operator should hear at start: settings that give protection away."""
        told = []
        if self.limits == "bench":
            told.append(
                "HUB_LIMITS=bench: neither rates nor connections are limited; never run a hub that others can reach so"
            )
        if self.compat:
            told.append(f"HUB_COMPAT={self.compat}: registration, keys and limits are as loose as DeviceHive's")
        if self.admin_password is not None and _published(self.admin_password):
            told.append("HUB_ADMIN_PASSWORD is a published password; change it: hub user password")
        if self.anonymous_registration == "open" and not self.compat:
            told.append("HUB_ANONYMOUS_REGISTRATION=open: whoever reaches the port may register devices")
        if any(ip_network(block, strict=False).prefixlen == 0 for block in self.provider_networks):
            told.append("HUB_PROVIDER_NETWORKS holds every address: whoever answers for a provider's name is asked")
        if self.durability == "queued":
            told.append("HUB_DURABILITY=queued: a crash may lose notifications that were acknowledged")
        return told

    # --- what must hold -----------------------------------------------------------------------------------------------

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: Url) -> Url:
        return url.checked_database()

    @field_validator("bus_url")
    @classmethod
    def _bus(cls, url: Url | None) -> Url | None:
        return None if url is None else url.checked_bus()

    @field_validator("context_paths")
    @classmethod
    def _context_paths(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if path and (not path.startswith("/") or path.endswith("/") or set(path) & set(" ?#%")):
                raise ValueError("each must be empty or like /api, without a slash at its end")
        return list(dict.fromkeys(paths))

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address like https://hub.example.org")
        return url.rstrip("/")

    @field_validator(
        "google_token_url",
        "google_verification_url",
        "facebook_token_url",
        "facebook_verification_url",
        "facebook_api_url",
        "github_token_url",
        "github_api_url",
    )
    @classmethod
    def _endpoint(cls, url: str) -> str:
        return checked_endpoint(url)

    @field_validator("trusted_proxies", "provider_networks")
    @classmethod
    def _proxies(cls, blocks: list[str]) -> list[str]:
        for block in blocks:
            try:
                ip_network(block, strict=False)
            except ValueError:
                raise ValueError("each must be an address or a block like 10.0.0.0/8 or fd00::/8") from None
        return blocks

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError("each must be exactly scheme://host or scheme://host:port; * is not possible")
        return [origin.lower() for origin in origins]

    @field_validator("tls_certificate", "tls_key")
    @classmethod
    def _exists(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError("must name a file that exists")
        return path

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = list(self._disagreements())
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _disagreements(self) -> Iterable[str]:
        if (self.tls_certificate is None) != (self.tls_key is None):
            yield "HUB_TLS_CERTIFICATE and HUB_TLS_KEY: give both or neither"
        if self.pepper is not None and self.pepper_file is not None:
            yield "HUB_PEPPER and HUB_PEPPER_FILE: give one of them"
        if self.workers > 1 and self.bus_url is None:
            yield "HUB_WORKERS: must be 1: several workers need a bus between them (HUB_BUS_URL)"
        aside = self.worker_metrics_port
        if aside is not None and aside < self.port <= aside + self.workers:
            yield f"HUB_WORKER_METRICS_PORT: its workers' ports would be {aside + 1} and up, and HUB_PORT is among them"
        if self.poll_wait_s > self.poll_wait_most_s:
            yield "HUB_POLL_WAIT_S: must not be more than HUB_POLL_WAIT_MOST_S"
        if self.lease_s < 3 * self.heartbeat_s:
            yield "HUB_LEASE_S: must be at least three times HUB_HEARTBEAT_S, or one lost heartbeat changes who leads"
        if self.admin_password is not None and _published(self.admin_password) and not self.compat:
            yield "HUB_ADMIN_PASSWORD: must not be a published password; leave it unset and one is generated"


class _Implied(PydanticBaseSettingsSource):
    """What HUB_LIMITS and HUB_COMPAT imply, below everything that was said outright."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        implied = self()
        return implied.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        given = self.current_state
        return {
            **COMPAT.get(str(given.get("compat", "")), {}),
            **LIMITS.get(str(given.get("limits", "default")), {}),
        }


def _published(password: SecretStr) -> bool:
    return password.get_secret_value().lower() in PUBLISHED_PASSWORDS
