"""Settings: where they come from, what they refuse, and what a compatibility mode implies."""

import os
import resource

import pytest
from pydantic import SecretStr, ValidationError

from hub.settings import COMPAT, LIMITS, Settings, SettingsError
from hub.settings_places import SPEC_NAMES, variable
from hub.settings_urls import Url


def load(tmp_path, environ=None, **command_line):
    return Settings.load(command_line, environ=environ or {}, directory=tmp_path)


def problems(tmp_path, environ=None, **command_line):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, environ, **command_line)
    return list(caught.value.problems)


# --- where a value comes from -----------------------------------------------------------------------------------------


def test_the_strongest_place_wins(tmp_path):
    """Command line over environment over .env over hub.toml over what is implied over the default."""
    (tmp_path / "hub.toml").write_text("port = 1\nhost = 'a'\nlog_level = 'debug'\ndrain_s = 5\n")
    (tmp_path / ".env").write_text("HUB_PORT=2\nHUB_HOST=b\nHUB_LOG_LEVEL=warning\n")
    environ = {"HUB_PORT": "3", "HUB_HOST": "c", "HUB_COMPAT": "devicehive"}

    settings = load(tmp_path, environ, port=4)

    values = {name: getattr(settings, name) for name in ("port", "host", "log_level", "drain_s")}
    assert values == {"port": 4, "host": "c", "log_level": "warning", "drain_s": 5.0}
    assert settings.anonymous_registration == "open"
    assert [settings.source_of(name) for name in (*values, "anonymous_registration", "workers")] == [
        "command line",
        "environment",
        ".env",
        "hub.toml",
        "HUB_COMPAT",
        "default",
    ]


def test_an_option_that_was_not_given_says_nothing(tmp_path):
    """None on the command line leaves the weaker places their say."""
    assert load(tmp_path, {"HUB_PORT": "3"}, port=None).port == 3


def test_settings_made_by_a_program_read_nothing_from_outside(tmp_path, monkeypatch):
    """An embedded hub is what its program says it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUB_PORT", "3")
    (tmp_path / "hub.toml").write_text("host = 'a'\n")

    settings = Settings(workers=1)

    assert (settings.port, settings.host) == (8080, "127.0.0.1")
    assert settings.source_of("workers") == "given"


@pytest.mark.parametrize(("name", "field"), SPEC_NAMES.items())
def test_names_of_the_api_work_without_a_unit(tmp_path, name, field):
    """Whoever knows DeviceHive's setting finds ours; the field's own name works as well."""
    assert getattr(load(tmp_path, {name: "5000"}), field) == 5000
    assert getattr(load(tmp_path, {f"HUB_{field.upper()}": "5000"}), field) == 5000
    assert variable(field) == name


def test_a_value_under_two_names_is_refused(tmp_path):
    """Nobody has to guess which of the two counts."""
    told = problems(tmp_path, {"HUB_SESSION_TIMEOUT": "5000", "HUB_SESSION_TIMEOUT_MS": "6000"})

    assert told == ["HUB_SESSION_TIMEOUT_MS (environment): given twice, under two names"]


def test_dots_of_the_api_are_tables_of_the_file(tmp_path):
    """``devices.gateway_mode`` may be written as the documents write it."""
    (tmp_path / "hub.toml").write_text("devices.gateway_mode = false\n[websocket.ping]\ntimeout = 7000\n")

    settings = load(tmp_path)

    assert (settings.devices_gateway_mode, settings.websocket_ping_timeout_ms) == (False, 7000)


def test_a_password_in_a_file_is_taken_letter_for_letter(tmp_path):
    """Nothing in it is replaced by a variable's value."""
    (tmp_path / ".env").write_text("HUB_ADMIN_PASSWORD='a${HOME}b'\nOTHER=1\n")

    assert load(tmp_path).admin_password == SecretStr("a${HOME}b")


# --- lists and blanks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "paths"), [("/api,/dh,", ["/api", "/dh", ""]), ("", [""]), ("/api", ["/api"]), ("/a, /a", ["/a"])]
)
def test_context_paths_may_be_empty(tmp_path, text, paths):
    """An empty item is the root."""
    assert load(tmp_path, {"HUB_CONTEXT_PATHS": text}).context_paths == paths


def test_lists_are_written_with_commas(tmp_path):
    """In files they may be lists; an empty text is an empty list."""
    (tmp_path / "hub.toml").write_text("trusted_proxies = ['10.0.0.0/8', '::1']\n")

    settings = load(tmp_path, {"HUB_ALLOWED_ORIGINS": "https://a.example, http://b.example:8000"})

    assert settings.trusted_proxies == ["10.0.0.0/8", "::1"]
    assert settings.allowed_origins == ["https://a.example", "http://b.example:8000"]
    assert load(tmp_path, {"HUB_TRUSTED_PROXIES": ""}).trusted_proxies == []


@pytest.mark.parametrize(
    "name", ["HUB_CONNECTIONS", "HUB_PUBLIC_URL", "HUB_DEVICES_OFFLINE_CHECK", "HUB_ADMIN_PASSWORD"]
)
def test_a_blank_is_unset(tmp_path, name):
    """``HUB_PUBLIC_URL=`` in a file of variables means nothing in particular."""
    load(tmp_path, {name: ""})


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (".env", "HUB_PROT=1\n", "HUB_PROT (.env): unknown; the nearest is HUB_PORT"),
        ("hub.toml", "prot = 1\n", "prot (hub.toml): unknown; the nearest is port"),
        (
            "hub.toml",
            "[devices]\ngateway = 1\n",
            "devices_gateway (hub.toml): unknown; the nearest is devices_gateway_mode",
        ),
        ("hub.toml", "port = \n", "hub.toml: cannot be read: Invalid value (at line 1, column 8)"),
        (".env", b"HUB_PORT=\xff\n", ".env: cannot be read"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path, file, text, told):
    """A name that nobody knows is an error that names the nearest one."""
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())

    assert [line[: len(told)] for line in problems(tmp_path)] == [told]


def test_every_problem_is_told_at_once(tmp_path):
    """One line for each: where it is, and what would be right."""
    told = problems(
        tmp_path,
        {
            "HUB_PORT": "70000",
            "HUB_PROT": "1",
            "HUB_COMPAT": "other",
            "HUB_MESSAGE_BYTES": "100",
            "HUB_DEFLATE": "perhaps",
            "HUB_DRAIN_S": "nan",
        },
        workers="two",
    )

    assert told == [
        "HUB_PROT (environment): unknown; the nearest is HUB_PORT",
        "HUB_PORT (environment): must be at most 65535",
        "HUB_WORKERS (command line): must be a whole number",
        "HUB_COMPAT (environment): must be '' or 'devicehive'",
        "HUB_MESSAGE_BYTES (environment): must be at least 30720",
        "HUB_DRAIN_S (environment): must be a finite number",
        "HUB_DEFLATE (environment): must be true or false",
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"HUB_TLS_KEY": "/nowhere"}, "HUB_TLS_KEY (environment): must name a file that exists"),
        ({"HUB_DATABASE_URL": "mysql://x"}, "HUB_DATABASE_URL (environment): must be sqlite:///PATH"),
        ({"HUB_DATABASE_URL": "postgresql://db"}, "HUB_DATABASE_URL (environment): must name the database"),
        ({"HUB_BUS_URL": "nats://x"}, "HUB_BUS_URL (environment): must be redis://"),
        ({"HUB_BUS_URL": "redis://x:port"}, "HUB_BUS_URL (environment): has a port"),
        ({"HUB_LEASE_S": "2"}, "HUB_LEASE_S: must be at least three times HUB_HEARTBEAT_S"),
        ({"HUB_POLL_WAIT_S": "61"}, "HUB_POLL_WAIT_S: must not be more than HUB_POLL_WAIT_MOST_S"),
        ({"HUB_WORKERS": "2"}, "HUB_WORKERS: must be 1"),
        ({"HUB_WORKER_METRICS_PORT": "8079"}, "HUB_WORKER_METRICS_PORT: its workers' ports would be 8080 and up"),
        ({"HUB_CONTEXT_PATHS": "api/"}, "HUB_CONTEXT_PATHS (environment): each must be empty or like /api"),
        ({"HUB_PUBLIC_URL": "hub.example.org"}, "HUB_PUBLIC_URL (environment): must be an address like"),
        ({"HUB_TRUSTED_PROXIES": "proxy"}, "HUB_TRUSTED_PROXIES (environment): each must be an address"),
        ({"HUB_ALLOWED_ORIGINS": "*"}, "HUB_ALLOWED_ORIGINS (environment): each must be exactly scheme://host"),
        ({"HUB_ALLOWED_ORIGINS": "https://a/b"}, "HUB_ALLOWED_ORIGINS (environment): each must be exactly"),
        ({"HUB_PEPPER": "x" * 40, "HUB_PEPPER_FILE": "p"}, "HUB_PEPPER and HUB_PEPPER_FILE: give one of them"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, values, told):
    """The line says what would be right."""
    assert [line[: len(told)] for line in problems(tmp_path, values)] == [told]


def test_tls_needs_both_files(tmp_path):
    """A certificate without its key is of no use."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("")

    assert problems(tmp_path, {"HUB_TLS_CERTIFICATE": str(certificate)}) == [
        "HUB_TLS_CERTIFICATE and HUB_TLS_KEY: give both or neither"
    ]


@pytest.mark.parametrize("password", ["dhadmin_#911", "DHADMIN_#911", "changeme"])
def test_a_published_password_is_refused(tmp_path, password):
    """No hub starts with a password that everybody knows; a migrating one is warned."""
    told = problems(tmp_path, {"HUB_ADMIN_PASSWORD": password})
    migrating = load(tmp_path, {"HUB_ADMIN_PASSWORD": password, "HUB_COMPAT": "devicehive"})

    assert told == ["HUB_ADMIN_PASSWORD: must not be a published password; leave it unset and one is generated"]
    assert any("published password" in warning for warning in migrating.warnings())


def test_secrets_are_never_shown(tmp_path):
    """Neither in a repr nor in what is told about a mistake."""
    secret = "correct horse battery staple"
    settings = load(tmp_path, {"HUB_ADMIN_PASSWORD": secret, "HUB_PEPPER": secret})

    assert secret not in repr(settings)
    assert secret not in "".join(problems(tmp_path, {"HUB_PEPPER": secret, "HUB_PEPPER_FILE": "p", "HUB_PORT": secret}))


def test_a_program_that_misspells_a_setting_hears_of_it():
    """The constructor is as strict as the files."""
    with pytest.raises(ValidationError):
        Settings(prot=1)  # type: ignore[call-arg]


# --- what is implied --------------------------------------------------------------------------------------------------


def test_compat_implies_the_table_and_nothing_else(tmp_path):
    """Everything that differs from the defaults under HUB_COMPAT=devicehive is in the table."""
    plain, compat = load(tmp_path), load(tmp_path, {"HUB_COMPAT": "devicehive"})

    different = {
        name: getattr(compat, name) for name in Settings.model_fields if getattr(compat, name) != getattr(plain, name)
    }

    assert different == {"compat": "devicehive", **COMPAT["devicehive"]}
    assert {compat.source_of(name) for name in COMPAT["devicehive"]} == {"HUB_COMPAT"}


def test_an_explicit_setting_wins_over_compat(tmp_path):
    """Whoever migrates takes back the looser rules one by one."""
    (tmp_path / "hub.toml").write_text("anonymous_registration = 'network-key'\n")

    settings = load(tmp_path, {"HUB_COMPAT": "devicehive", "HUB_LOGIN_LOCKOUT_AFTER": "0"})

    assert (settings.anonymous_registration, settings.login_lockout_after) == ("network-key", 0)
    assert settings.source_of("login_lockout_after") == "environment"


def test_bench_lifts_rates_and_is_loud(tmp_path):
    """A hub that does not defend itself says so at start."""
    settings = load(tmp_path, {"HUB_LIMITS": "bench", "HUB_PING_BURST": "7"})

    assert settings.pings_per_s > 100_000
    assert (settings.source_of("pings_per_s"), settings.ping_burst) == ("HUB_LIMITS", 7)
    assert any("HUB_LIMITS=bench" in warning for warning in settings.warnings())


def test_defaults_raise_no_alarm(tmp_path):
    """A safe hub has nothing to be loud about."""
    assert load(tmp_path).warnings() == []


@pytest.mark.parametrize(
    ("values", "word"), [({"HUB_DURABILITY": "queued"}, "DURABILITY"), ({"HUB_ANONYMOUS_REGISTRATION": "open"}, "open")]
)
def test_what_gives_protection_away_is_said(tmp_path, values, word):
    """The operator chose it, and hears what it means."""
    assert any(word in warning for warning in load(tmp_path, values).warnings())


# --- what follows -----------------------------------------------------------------------------------------------------


def test_connections_follow_the_descriptors(monkeypatch):
    """80 % of the descriptors, at most 16,000, unless the setting says otherwise."""
    limits = iter([(1_000, 5_000), (1_000_000, 1_000_000), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)])
    monkeypatch.setattr(resource, "getrlimit", lambda _: next(limits))

    assert [Settings().connection_limit for _ in range(3)] == [800, 16_000, 16_000]
    assert Settings(connections=5).connection_limit == 5


@pytest.mark.parametrize(
    ("url", "pepper"),
    [
        ("sqlite:///hub.db", "hub.pepper"),
        ("sqlite:////data/a.db", "/data/a.pepper"),
        ("sqlite:///:memory:", "hub.pepper"),
    ],
)
def test_the_pepper_lies_beside_the_database(url, pepper):
    """One backup of the directory has both; one of the database has only that."""
    assert str(Settings(database_url=url).pepper_path) == pepper


def test_send_memory_follows_the_machine(monkeypatch):
    """A quarter of its memory, at most 512 MiB, unless the setting says otherwise."""
    pages = iter([1 << 18, 1 << 22])
    monkeypatch.setattr(os, "sysconf", lambda name: next(pages) if name == "SC_PHYS_PAGES" else 4_096)

    assert [Settings().send_memory_limit for _ in range(2)] == [256 << 20, 512 << 20]
    assert Settings(send_memory_bytes=5 << 20).send_memory_limit == 5 << 20


SIZES = {name for name in Settings.model_fields if name.endswith("_bytes") or name.startswith("retention")}


def test_bench_lifts_rates_and_counts_of_connections_only():
    """Memory, sizes and times are what a benchmark measures: they stay."""
    lifted = set(LIMITS["bench"])

    assert not lifted & SIZES
    counts = ("connections_per", "polls_per")
    assert all("per_s" in name or "burst" in name or name.startswith(counts) for name in lifted)
    assert all(getattr(Settings(limits="bench"), name) in (0, 1_000_000) for name in lifted)


def test_the_limits_are_those_that_were_promised():
    """The defaults of the limits, in one place: whoever changes one changes a promise."""
    assert {name: getattr(Settings(), name) for name in PROMISED} == PROMISED


PROMISED = {
    "message_bytes": 65_536,
    "message_bytes_anonymous": 8_192,
    "fragments": 64,
    "deflate": False,
    "json_depth": 32,
    "json_nodes": 16_384,
    "http_header_bytes": 16_384,
    "http_headers": 64,
    "handshake_s": 10,
    "authenticate_client_s": 10,
    "authenticate_device_s": 30,
    "anonymous_requests": 20,
    "ping_interval_s": 30,
    "ping_timeout_s": 20,
    "pings_per_s": 10,
    "ping_burst": 20,
    "pong_backlog_bytes": 65_536,
    "outbox_bytes": 1_048_576,
    "outbox_wait_s": 10,
    "write_wait_s": 10,
    "subscriptions_per_connection": 256,
    "devices_per_subscription": 1_000,
    "connections_per_address": 1_000,
    "connections_per_user": 1_000,
    "connections_per_device": 2,
    "accepts_per_s": 200,
    "accepts_per_key_per_s": 2,
    "accept_burst_per_key": 10,
    "messages_per_s": 1_000,
    "message_burst": 2_000,
    "message_bytes_per_s": 4_194_304,
    "throttled_s": 10,
    "failed_logins_per_minute": 5,
    "failed_logins_per_block_per_minute": 60,
    "replay_page": 1_000,
    "in_flight_requests": 16,
    "database_wait_s": 5,
    "session_timeout_ms": 1_200_000,
    "retention_commands_s": 604_800,
    "retention_notifications_s": 86_400,
    "retention_rows_per_device": 10_000,
    "drain_s": 30,
    "drain_share_per_s": 0.2,
}


def test_every_setting_is_described():
    """``hub config show`` can say what each is for; a limit says what happens at it, a time its unit."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if name.endswith(("_s", "_ms")):
            assert "second" in field.description, name
        if name.endswith("_bytes"):
            assert "bytes" in field.description, name


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://hub:geheim@db/hub", "postgresql://hub:***@db/hub"),
        ("postgresql://hub:ge@heim/x@db/hub", "postgresql://hub:***@db/hub"),
        ("postgresql://hub@db/hub?sslpassword=geheim&x=1", "postgresql://hub@db/hub?sslpassword=***&x=1"),
        ("redis://:geheim@bus:6379/1", "redis://:***@bus:6379/1"),
        ("sqlite:///hub.db", "sqlite:///hub.db"),
    ],
)
def test_the_password_of_an_address_is_never_shown(url, shown):
    """Neither by what is printed, nor by what is logged."""
    found = Url(url)

    assert (str(found), url) == (shown, found.text)
    assert "geheim" not in repr(found)


def test_another_program_gets_an_address_without_passwords():
    """It knows them from elsewhere, or asks."""
    url = Url("postgresql://hub:geheim@db/hub?sslpassword=geheim&sslmode=require")

    assert url.without_passwords() == "postgresql://hub@db/hub?sslmode=require"
    assert Url("postgres://hub:x@db/hub?password=x").without_passwords() == "postgres://hub@db/hub"


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("redis://hub:geheim@bus:6379/1?password=geheim", "bus:6379"),
        ("redis://bus", "bus"),
        ("rediss://[fd00::1]:7000", "[fd00::1]:7000"),
        ("unix:///run/redis.sock", None),
    ],
)
def test_everybody_may_know_host_and_port(url, authority):
    """And nothing else of an address."""
    assert Url(url).authority == authority


def test_a_mistake_in_an_address_shows_no_password(tmp_path):
    """Neither of its own nor of another setting's line."""
    told = problems(tmp_path, {"HUB_DATABASE_URL": "postgres://hub:geheim@db", "HUB_BUS_URL": "redis://:geheim@x:port"})

    assert len(told) == 2
    assert "geheim" not in "".join(told)
