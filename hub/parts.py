"""From settings to what the parts of a hub take: values only, nothing is opened."""

from ipaddress import ip_network

from hub.core.connection import ConnectionLimits
from hub.core.vouching import Endpoints
from hub.gateway.policy import Policy, Registration
from hub.providers import ProviderOptions
from hub.rest.options import RestOptions
from hub.settings import Settings
from hub.web.edge import EdgeLimits
from protocol.names import Provider


def make_policy(settings: Settings) -> Policy:
    return Policy(
        api_version=settings.api_version,
        public_url=settings.public_url,
        bus_address=None if settings.bus_url is None else settings.bus_url.authority,
        seeded=_seeded(settings) if settings.compat else {},
        keys_attenuate=settings.keys_attenuate,
        durable_notifications=settings.durability == "commit",
        anonymous_registration=Registration(settings.anonymous_registration),
        network_auto_create=settings.network_auto_create,
        devices_gateway_mode=settings.devices_gateway_mode,
        devices_notify_offline=settings.devices_notify_offline,
        devices_self_unblock=settings.devices_self_unblock,
        cross_endpoint=settings.auth_cross_endpoint,
        lifetime_enforced=settings.command_lifetime == "enforce",
        login_lockout_after=settings.login_lockout_after,
        login_last_timeout_ms=settings.login_last_timeout_ms,
        session_timeout_ms=settings.session_timeout_ms,
        offline_check_s=settings.devices_offline_check_s,
        retention_notifications_s=settings.retention_notifications_s,
        retention_commands_s=settings.retention_commands_s,
        retention_rows=settings.retention_rows_per_device,
        devices_per_subscription=settings.devices_per_subscription,
        hold_bytes=settings.outbox_bytes // 4,
        device_cache=settings.device_cache,
        replays_at_once=settings.replays_at_once,
        replay_page=settings.replay_page,
        change_poll_s=settings.change_poll_s,
        password_workers=settings.password_workers,
        password_queue=settings.password_queue,
        failed_logins=settings.failed_logins_per_minute,
        failed_logins_per_block=settings.failed_logins_per_block_per_minute,
        accepts_per_key_per_s=settings.accepts_per_key_per_s,
        accept_burst_per_key=settings.accept_burst_per_key,
        connections_per_address=settings.connections_per_address,
        connections_per_user=settings.connections_per_user,
        connections_per_device=settings.connections_per_device,
        database_wait_s=settings.database_wait_s,
        pending_writes=settings.pending_writes,
        pending_write_bytes=settings.pending_write_bytes,
        open_commands=settings.open_commands_per_device,
        equipment=settings.equipment_per_class,
        poll_wait_s=settings.poll_wait_s,
        poll_wait_most_s=settings.poll_wait_most_s,
        polls=settings.polls,
        polls_per_key=settings.polls_per_key,
        messages_per_list=settings.messages_per_list,
        provider_logins=settings.provider_logins,
        heartbeat_s=settings.heartbeat_s,
        lease_s=settings.lease_s,
        bus_poll_s=settings.bus_poll_s,
        bus_wait_s=settings.bus_wait_s,
        replay_overlap_s=settings.replay_overlap_s,
        idle_topic_s=settings.idle_topic_s,
    )


def _seeded(settings: Settings) -> dict[str, str]:
    """Configuration rows that DeviceHive begins with and that mean a setting of ours: they follow the setting."""
    rows = {
        "session.timeout": settings.session_timeout_ms,
        "user.login.lastTimeout": settings.login_last_timeout_ms,
        "websocket.ping.timeout": settings.websocket_ping_timeout_ms,
    }
    return {name: str(value) for name, value in rows.items() if value is not None}


def make_limits(settings: Settings) -> EdgeLimits:
    silence_ms = settings.websocket_ping_timeout_ms
    return EdgeLimits(
        message_bytes=settings.message_bytes,
        message_bytes_anonymous=settings.message_bytes_anonymous,
        json_depth=settings.json_depth,
        json_nodes=settings.json_nodes,
        messages_per_s=settings.messages_per_s,
        message_burst=settings.message_burst,
        message_bytes_per_s=settings.message_bytes_per_s,
        throttled_s=settings.throttled_s,
        fragments=settings.fragments,
        handshake_s=settings.handshake_s,
        authenticate_client_s=settings.authenticate_client_s,
        authenticate_device_s=settings.authenticate_device_s,
        ping_interval_s=settings.ping_interval_s,
        ping_timeout_s=settings.ping_timeout_s,
        silence_s=silence_ms / 1000 if silence_ms is not None else None,
        pings_per_s=settings.pings_per_s,
        ping_burst=settings.ping_burst,
        pong_backlog_bytes=settings.pong_backlog_bytes,
        outbox_wait_s=settings.outbox_wait_s,
        write_wait_s=settings.write_wait_s,
        close_wait_s=settings.close_wait_s,
        in_flight_requests=settings.in_flight_requests,
        messages_per_turn=settings.messages_per_turn,
        header_bytes=settings.http_header_bytes,
        headers=settings.http_headers,
        connections=settings.connection_limit,
        accepts_per_s=settings.accepts_per_s,
        accept_burst=settings.accept_burst,
        send_memory_bytes=settings.send_memory_limit,
        drain_share_per_s=settings.drain_share_per_s,
        profile=settings.limits,
    )


def make_connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        outbox_bytes=settings.outbox_bytes,
        anonymous_requests=settings.anonymous_requests,
        subscriptions=settings.subscriptions_per_connection,
        listeners=settings.listeners_per_connection,
    )


def make_providers(settings: Settings) -> ProviderOptions:
    return ProviderOptions(
        endpoints={
            Provider.GOOGLE: Endpoints(settings.google_token_url, settings.google_verification_url),
            Provider.FACEBOOK: Endpoints(
                settings.facebook_token_url, settings.facebook_verification_url, settings.facebook_api_url
            ),
            Provider.GITHUB: Endpoints(settings.github_token_url, api=settings.github_api_url),
        },
        wait_s=settings.provider_wait_s,
        answer_bytes=settings.provider_answer_bytes,
        networks=tuple(ip_network(block, strict=False) for block in settings.provider_networks),
    )


def make_rest(settings: Settings) -> RestOptions:
    return RestOptions(
        as_devicehive=settings.compat == "devicehive",
        allowed_origins=frozenset(origin.lower().rstrip("/") for origin in settings.allowed_origins),
        context_paths=tuple(settings.context_paths),
        public_url=settings.public_url.rstrip("/") if settings.public_url else None,
        body_bytes=settings.http_body_bytes,
        message_bytes=settings.message_bytes,
        requests_per_s=settings.rest_requests_per_s,
        request_burst=settings.rest_request_burst,
    )
