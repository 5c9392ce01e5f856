"""Subscribing, with or without history, and ending it."""

from dataclasses import dataclass
from typing import Any

from hub.actions.caller import Caller
from hub.actions.devices import require_device
from hub.core.connection import Connection
from hub.core.subscription import Subscription
from hub.gateway import Gateway
from hub.gateway.calls import in_task
from hub.gateway.replays import reach_of
from hub.store import LogQuery
from protocol.answers import SUBSCRIBED, Missed, Subscribed
from protocol.errors import DEVICES_NOT_FOUND, NAMES_EMPTY, bad_parameter, limit_reached
from protocol.message_forms import StreamMessages
from protocol.messages import lowest_id
from protocol.names import SUBSCRIBE_ACTION, Kind
from protocol.requests import UNSET, Subscribe, Unset, Unsubscribe


async def subscribe_commands(gateway: Gateway, caller: Caller, ask: Subscribe) -> dict[str, Any]:
    """Push commands from now on. Every device that is named must be visible."""
    _check(gateway, caller, ask)
    if ask.device_guids is not None:
        visible = await _visible(gateway, caller, Kind.COMMAND, ask.device_guids)
        if len(visible) < len(ask.device_guids):
            raise DEVICES_NOT_FOUND.error(guids=", ".join(ask.device_guids))
    return await _subscribe(gateway, caller, Kind.COMMAND, ask)


async def subscribe_notifications(gateway: Gateway, caller: Caller, ask: Subscribe) -> dict[str, Any]:
    """Push notifications from now on. Of the devices that are named, the visible ones count."""
    _check(gateway, caller, ask)
    if ask.device_guids is not None:
        ask.device_guids = await _visible(gateway, caller, Kind.NOTIFICATION, ask.device_guids)
    return await _subscribe(gateway, caller, Kind.NOTIFICATION, ask)


@dataclass(frozen=True, slots=True)
class Streaming:
    """What an event stream is told before its messages.

    Attributes:
        after: the id that they come after; None: they begin at a time.
        answer: the members of a subscription's answer in extended mode.
    """

    kind: Kind
    after: int | None
    answer: dict[str, Any]


async def stream_messages(gateway: Gateway, caller: Caller, ask: StreamMessages) -> Streaming:
    """Push messages from now on to a connection that is an event stream. Of several devices that are named, the visible
    ones count; one that the path names must be visible."""
    wanted = ask.subscribe
    _check(gateway, caller, wanted)
    if ask.device_guid is not None:
        await require_device(gateway, caller, SUBSCRIBE_ACTION[ask.kind], ask.device_guid)
    answer = await _subscribe(gateway, caller, ask.kind, wanted)
    del answer["subscriptionId"]  # A stream is one.
    begins_now = wanted.since is None and wanted.timestamp_ms is None
    return Streaming(ask.kind, answer["position"] if begins_now else wanted.since, answer)


def _check(gateway: Gateway, caller: Caller, ask: Subscribe) -> None:
    if ask.contradiction is not None:
        raise bad_parameter(ask.contradiction)
    if ask.names is not None and not ask.names:
        raise NAMES_EMPTY.error(detail={"parameter": "names"})
    connection = _connection(caller)
    most = connection.limits.subscriptions
    if most and len(connection.subscriptions) >= most:
        raise limit_reached(most, "subscriptions per connection", name="subscriptions-per-connection")
    devices = gateway.policy.devices_per_subscription
    if devices and ask.device_guids is not None and len(ask.device_guids) > devices:
        raise limit_reached(devices, "devices per subscription", name="devices-per-subscription")


def _connection(caller: Caller) -> Connection:
    assert caller.connection is not None, "only a connection subscribes"
    return caller.connection


async def _visible(gateway: Gateway, caller: Caller, kind: Kind, guids: tuple[str, ...]) -> tuple[str, ...]:
    action = SUBSCRIBE_ACTION[kind]
    devices = await gateway.devices.devices(guids)
    return tuple([guid for guid, device in zip(guids, devices, strict=True) if caller.sees(action, device)])


async def _subscribe(gateway: Gateway, caller: Caller, kind: Kind, ask: Subscribe) -> dict[str, Any]:
    """Register, look into the log, answer; the history follows the answer, live messages follow the history."""
    connection = _connection(caller)
    clauses = caller.principal.access.scopes(SUBSCRIBE_ACTION[kind])
    topics = frozenset[int]() if gateway.bus.alone else await in_task(gateway.follow(kind, ask, clauses))
    subscription = gateway.subscribe(connection, caller.principal, kind, ask, clauses=clauses, topics=topics)
    answer = Subscribed(subscription.id)
    tells = connection.extended or ask.since is not None
    if tells:
        answer.position = subscription.position
    if ask.since is not None or ask.timestamp_ms is not None:
        query = _query(gateway, subscription, ask)
        if tells:
            answer.missed = await _missed(gateway, subscription, query, ask)
            answer.recovered = answer.missed is UNSET
        gateway.replay(subscription, query)
    return SUBSCRIBED(answer)


def _query(gateway: Gateway, subscription: Subscription, ask: Subscribe) -> LogQuery:
    return LogQuery(
        subscription.kind,
        after=gateway.others.resume_from(ask.since or 0),
        newer_than_ms=ask.timestamp_ms,
        reach=reach_of(subscription.clauses, subscription.guids),
        names=subscription.names,
        limit=gateway.policy.replay_page,
    )


async def _missed(gateway: Gateway, subscription: Subscription, query: LogQuery, ask: Subscribe) -> Missed | Unset:
    """Which range the replay does not have, and why; UNSET: it has everything. A subscription that fails here ends."""
    try:
        return await _find_missed(gateway, subscription, query, ask)
    except BaseException:
        gateway.unsubscribe(subscription.connection, subscription)
        raise


async def _find_missed(gateway: Gateway, subscription: Subscription, query: LogQuery, ask: Subscribe) -> Missed | Unset:
    after = ask.since if ask.since is not None else lowest_id(ask.timestamp_ms or 0)
    pruned_to = await in_task(gateway.store.pruned_to(subscription.kind, query.reach))
    if pruned_to > after:
        return Missed("retention", after, pruned_to + 1)
    if ask.since is None:
        return UNSET
    for lost in [*gateway.commits.lost, *await in_task(gateway.store.lost())]:
        if lost.after < after < lost.before:
            return Missed("unknown-position", after, lost.before)
    if after > subscription.position and not gateway.others.may_exist(after):
        # It may have come from a worker whose messages this one has not seen yet, or from another hub altogether.
        return Missed("unknown-position", after, after + 1)
    return UNSET


async def unsubscribe_commands(gateway: Gateway, caller: Caller, ask: Unsubscribe) -> dict[str, Any]:
    """End command subscriptions of this connection."""
    return _unsubscribe(gateway, _connection(caller), Kind.COMMAND, ask)


async def unsubscribe_notifications(gateway: Gateway, caller: Caller, ask: Unsubscribe) -> dict[str, Any]:
    """End notification subscriptions of this connection."""
    return _unsubscribe(gateway, _connection(caller), Kind.NOTIFICATION, ask)


def _unsubscribe(gateway: Gateway, connection: Connection, kind: Kind, ask: Unsubscribe) -> dict[str, Any]:
    for subscription in connection.of_kind(kind):
        if _meant(subscription, ask):
            gateway.unsubscribe(connection, subscription)
    return {}


def _meant(subscription: Subscription, ask: Unsubscribe) -> bool:
    if ask.subscription_id is not None:
        return subscription.id == ask.subscription_id
    return subscription.old_format and subscription.asked_guids == ask.device_guids
