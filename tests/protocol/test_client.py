"""The client without I/O: requests, restoring after a reconnect, resuming without gap or repetition."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.client import Client, ClientLimit
from protocol.client_events import (
    Answered,
    Closing,
    CommandUpdated,
    CommandView,
    Ended,
    Event,
    Interrupted,
    Lost,
    NotificationView,
    Ready,
    Received,
    Refusal,
    Refused,
    Rejected,
    Subscribed,
    Subscription,
    Unreadable,
    WatchRefused,
)
from protocol.codecs import BINARY, JSON, MSGPACK, TEXT, Codec
from protocol.names import Action, Kind, Overflow
from protocol.times import format_ms

JSON_MODE, MSGPACK_MODE = "hub.1.json", "hub.1.msgpack"
KEY = {"accessKey": "s3cret"}
TIME = "2026-01-01T00:00:00.000"


# --- builders ---------------------------------------------------------------------------------------------------------


def ready(subprotocol: str | None = JSON_MODE, **arguments: Any) -> Client:
    """An anonymous client on an open connection."""
    client = Client(**arguments)
    assert client.opened(subprotocol) == [Ready()]
    return client


def sent(client: Client, codec: Codec = JSON) -> list[dict[str, Any]]:
    return [codec.decode(payload) for payload in client.take()]


def give(client: Client, codec: Codec = JSON, **members: Any) -> list[Event]:
    return client.receive(codec.encode(members))


def answer(client: Client, request: dict[str, Any], **members: Any) -> list[Event]:
    return give(client, action=request["action"], requestId=request["requestId"], status="success", **members)


def refuse(client: Client, request: dict[str, Any], code: int = 401, **members: Any) -> list[Event]:
    envelope = {"action": request["action"], "requestId": request["requestId"], "status": "error", "code": code}
    return give(client, **envelope, error="No", **members)


def notification(message_id: int, timestamp: str = TIME, **members: Any) -> dict[str, Any]:
    view = {"id": message_id, "notification": "watts", "deviceGuid": "lamp", "timestamp": timestamp, "parameters": 1}
    return {"action": "notification/insert", "deviceGuid": "lamp", "notification": view | members}


def command(message_id: int, **members: Any) -> dict[str, Any]:
    return {"id": message_id, "command": "on", "deviceGuid": "lamp", "timestamp": TIME, **members}


def subscribed(client: Client, subscription: Subscription, server_id: str = "s1", **members: Any) -> dict[str, Any]:
    """Subscribe and confirm; returns the request."""
    client.subscribe(subscription)
    request = sent(client)[-1]
    assert answer(client, request, subscriptionId=server_id, **members)
    return request


def reconnect(client: Client, subprotocol: str | None = JSON_MODE) -> list[dict[str, Any]]:
    """Lose the connection and open another; returns what is sent on it at once."""
    client.lost()
    client.opened(subprotocol)
    return sent(client, MSGPACK if subprotocol == MSGPACK_MODE else JSON)


def ids(events: Iterable[Event]) -> list[int]:
    return [event.message.id for event in events if isinstance(event, Received)]


def notifications(**arguments: Any) -> Subscription:
    return Subscription(Kind.NOTIFICATION, **arguments)


# --- beginning a connection -------------------------------------------------------------------------------------------


def test_a_client_authenticates_before_it_sends_anything_else():
    """A request made earlier waits for the answer to authenticate."""
    client = Client(credentials=KEY)
    client.request(Action.SERVER_INFO, {})

    assert client.opened(JSON_MODE) == []
    first = sent(client)
    assert first == [{"action": "authenticate", "requestId": 2, "accessKey": "s3cret"}]
    assert answer(client, first[0]) == [Ready()]

    assert sent(client) == [{"action": "server/info", "requestId": 1}]


def test_a_device_registers_once_then_authenticates():
    """The registration goes first, on the first connection only."""
    client = Client(credentials={"deviceId": "d", "deviceKey": "k"}, registration={"deviceId": "d", "device": {}})
    client.opened(None)
    (save,) = sent(client)
    assert save["action"] == "device/save"

    assert answer(client, save) == []
    assert [request["action"] for request in sent(client)] == ["authenticate"]

    assert [request["action"] for request in reconnect(client, None)] == ["authenticate"]


@pytest.mark.parametrize("arguments", [{"credentials": KEY}, {"registration": {"deviceId": "d"}}])
def test_a_permanent_refusal_rejects_the_client(arguments):
    """Wrong credentials and refused registrations are reported as such, by action."""
    client = Client(**arguments)
    client.opened(JSON_MODE)
    (request,) = sent(client)

    events = refuse(client, request, 401)

    assert events == [Rejected(Action(request["action"]), Refusal(401, "No"))]


def test_a_temporary_refusal_only_interrupts():
    """With a retryAfter even a 401 may be better next time."""
    client = Client(credentials=KEY)
    client.opened(JSON_MODE)

    events = refuse(client, sent(client)[0], 401, retryAfter=60)

    assert events == [Interrupted(Refusal(401, "No", retry_after_s=60.0))]


@pytest.mark.parametrize(
    ("subprotocol", "codec", "opcode", "extended"),
    [(None, JSON, TEXT, False), (JSON_MODE, JSON, TEXT, True), (MSGPACK_MODE, MSGPACK, BINARY, True)],
)
def test_the_subprotocol_decides_the_codec(subprotocol, codec, opcode, extended):
    """Requests and answers travel in the codec of the connection."""
    client = ready(subprotocol)
    request_id = client.request(Action.SERVER_INFO, {})

    (request,) = sent(client, codec)
    events = client.receive(codec.encode({**request, "status": "success", "info": {}}))

    assert (client.opcode, client.extended) == (opcode, extended)
    assert [event.request_id for event in events if isinstance(event, Answered)] == [request_id]


def test_no_repr_shows_credentials():
    """What ends up in logs holds no secret."""
    client = Client(credentials=KEY, registration={"deviceKey": "s3cret"})
    client.opened(None)
    subscription = notifications(speaker={"deviceKey": "s3cret"})

    texts = repr(client) + repr(subscription) + repr(client._pending) + repr(ready())

    assert "s3cret" not in texts


# --- requests ---------------------------------------------------------------------------------------------------------


def test_answers_are_matched_by_request_id():
    """Answers may come in any order; each names its request."""
    client = ready()
    first, second = client.request(Action.SERVER_INFO, {}), client.request(Action.DEVICE_GET, {})
    requests = sent(client)

    assert refuse(client, requests[1], 404, reason="not-found", detail={"a": 1}, retryAfter=1.5) == [
        Refused(second, Refusal(404, "No", "not-found", {"a": 1}, 1.5))
    ]
    (event,) = answer(client, requests[0], info={"apiVersion": "2.0.6"})

    assert isinstance(event, Answered)
    assert (event.request_id, event.members["info"]) == (first, {"apiVersion": "2.0.6"})


@pytest.mark.parametrize("request_id", [99, "1", True, [1], {"a": 1}, 1.0])
def test_an_answer_to_nothing_is_passed_over(request_id):
    """Ids that we did not give, of whatever type, change nothing."""
    client = ready()
    client.request(Action.SERVER_INFO, {})
    sent(client)

    assert give(client, requestId=request_id, status="success") == []


def test_an_abandoned_request_is_neither_sent_nor_answered():
    """Forgetting works before sending, after sending, and twice."""
    client = ready()
    unsent, answered = client.request(Action.SERVER_INFO, {}), client.request(Action.SERVER_INFO, {})
    client.abandon(unsent)
    (request,) = sent(client)
    client.abandon(answered)
    client.abandon(answered)

    assert request["requestId"] == answered
    assert answer(client, request) == []
    assert reconnect(client) == []


def test_what_was_not_answered_is_asked_again_under_the_same_id():
    """A reconnect repeats requests in order; in extended mode inserts too, which carry their idempotency key."""
    client = ready()
    client.request(Action.COMMAND_UPDATE, {"commandId": 7})
    client.request(Action.COMMAND_INSERT, {"idempotencyKey": "k"})
    before = sent(client)

    assert reconnect(client) == before


def test_an_insert_on_an_ordinary_connection_is_not_repeated():
    """An original server would insert it twice, so its outcome is reported as unknown; unsent ones are kept."""
    client = ready(None)
    doubtful = client.request(Action.NOTIFICATION_INSERT, {})
    safe = client.request(Action.COMMAND_UPDATE, {})
    sent(client)
    unsent = client.request(Action.NOTIFICATION_INSERT, {})

    assert client.lost() == [Lost(doubtful)]
    client.opened(None)

    assert [request["requestId"] for request in sent(client)] == [safe, unsent]


def test_an_insert_does_not_move_from_an_extended_to_an_ordinary_connection():
    """Whoever answers now may not know the key that was given before."""
    client = ready(JSON_MODE)
    request_id = client.request(Action.COMMAND_INSERT, {})
    sent(client)

    assert client.lost() == []
    assert client.opened(None) == [Lost(request_id), Ready()]


def test_the_largest_request_is_given_up_when_the_hub_closes_for_size():
    """Repeating it would close the next connection, too."""
    client = ready()
    small = client.request(Action.COMMAND_UPDATE, {})
    large = client.request(Action.COMMAND_UPDATE, {"command": {"result": "x" * 100}})
    assert client.oversized() == []
    sent(client)

    (event,) = client.oversized()

    assert isinstance(event, Refused)
    assert (event.request_id, event.refusal.code, event.refusal.reason) == (large, 413, "limit")
    assert [request["requestId"] for request in reconnect(client)] == [small]


@pytest.mark.parametrize("limit", ["pending-requests", "subscriptions", "watched-commands"])
def test_every_queue_has_a_limit_with_a_name(limit):
    """Past it the caller is told which and how many."""
    client = Client(pending_limit=1)
    fill = {
        "pending-requests": lambda: client.request(Action.SERVER_INFO, {}),
        "subscriptions": lambda: client.subscribe(notifications()),
        "watched-commands": lambda: client.watch(len(client._watched), Action.COMMAND_WATCH, {}),
    }[limit]
    fill()

    with pytest.raises(ClientLimit) as caught:
        fill()

    assert (caught.value.name, caught.value.value) == (limit, 1)


@pytest.mark.parametrize("value", [object(), 2**70, {1: 2}, [[]] * 20_000, b"x"])
def test_what_json_does_not_have_is_refused_at_once(value):
    """The caller hears of it, not the connection."""
    client = ready()

    with pytest.raises(ValueError, match="not a JSON message"):
        client.request(Action.COMMAND_UPDATE, {"command": {"result": value}})

    assert sent(client) == []


def test_members_are_copied():
    """Changing them after the call changes nothing on the wire."""
    client = ready()
    members = {"device": {"name": "a"}}
    client.request(Action.DEVICE_SAVE, members)

    members["device"]["name"] = "b"

    assert sent(client)[0]["device"] == {"name": "a"}


# --- watched commands -------------------------------------------------------------------------------------------------


def test_a_watched_command_is_inserted_again_to_hear_of_its_updates():
    """With its key that inserts nothing, and binds the updates to the new connection; both answers are fine."""
    client = ready()
    client.watch(7, Action.COMMAND_INSERT, {"deviceGuid": "lamp", "idempotencyKey": "k"})

    (request,) = reconnect(client)

    assert (request["action"], request["idempotencyKey"]) == ("command/insert", "k")
    assert answer(client, request, command={"id": 7}) == []
    assert reconnect(client, None) == []


def test_a_command_that_was_asked_about_is_watched_again():
    """The answer shows what has become of it; a refusal ends it, unless coming back may help."""
    client = ready()
    client.watch(7, Action.COMMAND_WATCH, {"deviceGuid": "lamp", "commandId": 7})
    (request,) = reconnect(client)

    (told,) = answer(client, request, command=command(7, state="done", status="ok"))
    (gone,) = refuse(client, reconnect(client)[0], code=404)
    (later,) = refuse(client, reconnect(client)[0], code=503)

    assert (request["action"], request["commandId"]) == ("command/watch", 7)
    assert (told.command.status, told.command.state) == ("ok", "done")
    assert (gone.command_id, gone.action, gone.refusal.code) == (7, "command/watch", 404)
    assert isinstance(later, Interrupted)


@pytest.mark.parametrize(
    ("action", "code", "kind"),
    [
        (Action.COMMAND_INSERT, 404, WatchRefused),
        (Action.COMMAND_INSERT, 409, WatchRefused),
        (Action.COMMAND_INSERT, 429, WatchRefused),
        (Action.COMMAND_INSERT, 503, Interrupted),
        (Action.COMMAND_WATCH, 404, WatchRefused),
        (Action.COMMAND_WATCH, 503, Interrupted),
    ],
)
def test_a_refusal_to_watch_again_matters_to_whoever_still_watches(action, code, kind):
    """The connection is given up only where another may help; nobody loses it for what nobody watches any more."""
    client = ready()
    client.watch(7, action, {"deviceGuid": "lamp"})
    (first,) = refuse(client, reconnect(client)[0], code=code)
    (request,) = reconnect(client)
    client.unwatch(7, action)

    assert isinstance(first, kind)
    assert refuse(client, request, code=code) == []


def test_watching_one_command_again_takes_no_room():
    """Asked about twice it is one; inserted and asked about it is two, of which either may be refused."""
    client = Client(pending_limit=2)

    for _ in range(2):
        client.watch(7, Action.COMMAND_INSERT, {})
        client.watch(7, Action.COMMAND_WATCH, {})

    assert [request["action"] for request in reconnect(client)] == ["command/insert", "command/watch"]
    with pytest.raises(ClientLimit):
        client.watch(8, Action.COMMAND_WATCH, {})


def test_an_unwatched_command_is_let_go():
    """Letting go twice is harmless."""
    client = ready()
    client.watch(7, Action.COMMAND_INSERT, {})
    client.unwatch(7, Action.COMMAND_INSERT)
    client.unwatch(7, Action.COMMAND_INSERT)

    assert reconnect(client) == []


def test_updates_of_commands_are_handed_out():
    """A command/update becomes a view with every member."""
    client = ready()
    view = command(7, userId=1, parameters={"a": 1}, lifetime=5, status="ok", result=[1], state="done")

    events = give(client, action="command/update", command=view)

    expected = CommandView(7, "on", "lamp", TIME, 1, {"a": 1}, 5, "ok", [1], "done")
    assert events == [CommandUpdated(expected)]
    assert expected.timestamp_ms == 1_767_225_600_000


@pytest.mark.parametrize(
    ("members", "finished"),
    [
        ({}, False),
        ({"state": "received"}, False),
        ({"status": "ok"}, True),
        ({"result": 0}, True),
        ({"state": "expired"}, True),
    ],
)
def test_a_command_is_finished_when_the_device_has_spoken_or_never_will(members, finished):
    """The hub's progress alone does not finish it."""
    view = CommandView(1, "on", "lamp", TIME, **members)

    assert view.finished is finished


# --- subscriptions ----------------------------------------------------------------------------------------------------


def test_a_subscription_asks_for_what_it_was_given():
    """Every argument becomes its member; what was not given is left out."""
    client = ready()

    client.subscribe(
        notifications(
            device_guids=["a"],
            names=["n"],
            since=5,
            overflow=Overflow.LATEST,
            speaker={"deviceId": "a", "deviceKey": "k"},
        )
    )
    client.subscribe(Subscription(Kind.COMMAND, timestamp="1767225600000"))

    assert sent(client) == [
        {
            "action": "notification/subscribe",
            "requestId": 1,
            "deviceId": "a",
            "deviceKey": "k",
            "deviceGuids": ["a"],
            "names": ["n"],
            "overflow": "latest",
            "since": 5,
        },
        {"action": "command/subscribe", "requestId": 2, "timestamp": TIME},
    ]


def test_a_wrong_timestamp_is_refused_at_once():
    """It would be refused by the hub."""
    with pytest.raises(ValueError):
        notifications(timestamp="yesterday")


def test_the_answer_tells_whether_something_was_missed():
    """``recovered`` and ``missed`` reach the program; nonsense in their place does not."""
    client = ready()
    subscription = notifications(since=1)
    client.subscribe(subscription)
    missed = {"reason": "retention", "after": 1, "before": 700}

    events = answer(client, sent(client)[0], subscriptionId="s", position=1000, recovered=False, missed=missed)

    assert events == [Subscribed(subscription, False, missed)]
    again = reconnect(client)[0]
    assert answer(client, again, subscriptionId="s", recovered=1, missed=1) == [Subscribed(subscription)]


def test_a_push_becomes_a_typed_message():
    """Notifications and commands arrive with their subscription and what was dropped before them."""
    client = ready()
    subscription, commands = notifications(), Subscription(Kind.COMMAND)
    subscribed(client, subscription, "s1", position=0)
    subscribed(client, commands, "s2", position=0)

    push = give(client, **notification(1), subscriptionId="s1", dropped=3)
    other = give(client, action="command/insert", subscriptionId="s2", command=command(2), dropped="x")

    view = NotificationView(1, "watts", "lamp", TIME, 1)
    assert push == [Received(subscription, view, 3)]
    assert other == [Received(commands, CommandView(2, "on", "lamp", TIME))]
    assert view.timestamp_ms == 1_767_225_600_000


def test_each_subscription_gets_its_own_copy():
    """Two subscriptions of one connection do not take each other's messages for repetitions."""
    client = ready()
    subscribed(client, notifications(), "s1", position=0)
    subscribed(client, notifications(), "s2", position=0)

    first = give(client, **notification(1), subscriptionId="s1")
    second = give(client, **notification(1), subscriptionId="s2")

    assert (ids(first), ids(second)) == ([1], [1])


def test_after_a_reconnect_it_resumes_after_the_last_message():
    """``since`` is the greatest id that came, or the position of the first answer when nothing came."""
    client = ready()
    subscription = notifications()
    first = subscribed(client, subscription, position=10)
    assert "since" not in first
    assert reconnect(client)[0]["since"] == 10

    subscribed_again = answer(
        client, {"action": "notification/subscribe", "requestId": 2}, subscriptionId="s2", position=20
    )
    give(client, **notification(12), subscriptionId="s2")
    give(client, **notification(11), subscriptionId="s2")

    assert subscribed_again == [Subscribed(subscription)]
    assert reconnect(client)[0]["since"] == 12


def test_a_replay_that_breaks_off_goes_on_where_it_broke():
    """The position of the answer is where live begins, so it must not be taken before the replay has passed."""
    client = ready()
    subscribed(client, notifications(since=5), position=100)
    assert reconnect(client)[0]["since"] == 5

    answer(client, {"action": "notification/subscribe", "requestId": 2}, subscriptionId="s2", position=100)
    give(client, **notification(6), subscriptionId="s2")

    assert reconnect(client)[0]["since"] == 6


def test_a_timestamp_gives_way_to_ids_as_soon_as_one_is_known():
    """In extended mode the exact cursor is used when there is one."""
    client = ready()
    subscribed(client, notifications(timestamp=TIME), position=100)
    (again,) = reconnect(client)
    assert (again["timestamp"], again.get("since")) == (TIME, None)

    answer(client, again, subscriptionId="s2", position=100)
    give(client, **notification(6), subscriptionId="s2")

    (again,) = reconnect(client)
    assert (again.get("timestamp"), again["since"]) == (None, 6)


def test_without_positions_it_resumes_by_time():
    """On an original server: the server's time before anything came, then the latest timestamp."""
    client = ready(None)
    client.subscribe(notifications())
    info, request = sent(client)
    assert (info["action"], "timestamp" in request) == ("server/info", False)
    answer(client, info, info={"serverTimestamp": TIME})
    answer(client, request, subscriptionId="s1")
    assert reconnect(client, None)[0]["timestamp"] == TIME

    answer(client, {"action": "notification/subscribe", "requestId": 3}, subscriptionId="s2")
    give(client, **notification(900, "2026-01-01T00:00:05.000"), subscriptionId="s2")
    give(client, **notification(7, "2026-01-01T00:00:04.000"), subscriptionId="s2")

    (again,) = reconnect(client, None)
    assert (again["timestamp"], again.get("since")) == ("2026-01-01T00:00:05.000", None)


def test_an_ordinary_connection_with_positions_resumes_by_id():
    """Our hub's answer says that it numbers its messages, also where it was not asked for extended mode."""
    client = ready(None)
    subscribed(client, notifications(), position=10)

    (again,) = reconnect(client, None)

    assert (again.get("timestamp"), again["since"]) == (None, 10)


def test_everything_stored_is_asked_for_by_time_where_ids_are_not_known():
    """since=0 reads as 1970 for an original server; another id can only be sent as it is."""
    client = ready(None)
    client.subscribe(notifications(since=0))
    client.subscribe(notifications(since=5))

    everything, some = sent(client)

    assert (everything["timestamp"], some["since"]) == ("1970-01-01T00:00:00.000", 5)


@pytest.mark.parametrize("info", [None, {}, {"serverTimestamp": None}])
def test_a_clock_that_makes_no_sense_is_passed_over(info):
    """The subscription then begins anew after a reconnect."""
    client = ready(None)
    client.subscribe(notifications())
    request = sent(client)[0]

    assert isinstance(answer(client, request, info=info)[0], Unreadable)
    assert [request["action"] for request in reconnect(client, None)] == ["server/info", "notification/subscribe"]


def test_a_refused_clock_is_passed_over():
    """So is a server that does not tell its time."""
    client = ready(None)
    client.subscribe(notifications())

    assert refuse(client, sent(client)[0]) == []


def test_a_repetition_is_passed_over_as_long_as_it_is_remembered():
    """The memory is bounded: the oldest id is forgotten first."""
    client = ready()
    subscribed(client, notifications(remember=2), position=0)

    events = [give(client, **notification(number), subscriptionId="s1") for number in (1, 1, 2, 3, 3, 1)]

    assert [ids(event) for event in events] == [[1], [], [2], [3], [], [1]]


def test_pushes_before_their_answer_wait_for_it():
    """The original server replays first and answers then; what belongs to nobody is let go."""
    client = ready(None)
    subscription = notifications(timestamp=TIME)
    client.subscribe(subscription)
    (request,) = sent(client)

    assert give(client, **notification(1), subscriptionId="early") == []
    assert give(client, **notification(9), subscriptionId="foreign") == []
    events = answer(client, request, subscriptionId="early")

    assert events[0] == Subscribed(subscription)
    assert ids(events) == [1]
    assert client._early == []
    assert give(client, **notification(2), subscriptionId="foreign") == []


def test_early_pushes_of_two_subscriptions_are_kept_apart():
    """An answer takes its own and leaves the rest for the next."""
    client = ready()
    client.subscribe(notifications())
    client.subscribe(notifications())
    first, second = sent(client)
    for number in (1, 2, 3):
        give(client, **notification(number), subscriptionId="second" if number == 2 else "first")

    assert ids(answer(client, first, subscriptionId="first")) == [1, 3]
    assert ids(answer(client, second, subscriptionId="second")) == [2]


def test_too_many_early_pushes_interrupt_the_connection():
    """Memory stays bounded against a server that never answers."""
    client = ready(early_limit=1)
    client.subscribe(notifications())
    sent(client)
    give(client, **notification(1), subscriptionId="x")

    (event,) = give(client, **notification(2), subscriptionId="x")

    assert isinstance(event, Interrupted)
    client.lost()
    assert client._early == []


def test_unsubscribing_silences_at_once():
    """What was on its way is passed over, and the memory of it goes with the answer. Twice is harmless."""
    client = ready()
    subscription = notifications()
    subscribed(client, subscription, position=0)
    client.unsubscribe(subscription)
    client.unsubscribe(subscription)
    (request,) = sent(client)

    assert (request["action"], request["subscriptionId"]) == ("notification/unsubscribe", "s1")
    assert give(client, **notification(1), subscriptionId="s1") == []
    assert answer(client, request) == []
    assert client._retired == set()
    assert reconnect(client) == []


def test_a_refused_unsubscription_is_forgotten_too():
    """There is nothing to do about it."""
    client = ready()
    subscription = notifications()
    subscribed(client, subscription, position=0)
    client.unsubscribe(subscription)

    assert refuse(client, sent(client)[0]) == []
    assert client._retired == set()


def test_unsubscribing_before_the_answer_gives_back_what_the_answer_brings():
    """No subscription is left behind at the hub, whichever way the answer goes."""
    client = ready()
    subscription = notifications()
    client.subscribe(subscription)
    (request,) = sent(client)
    client.unsubscribe(subscription)
    give(client, **notification(1), subscriptionId="s1")

    assert answer(client, request, subscriptionId="s1") == []
    assert [request["action"] for request in sent(client)] == ["notification/unsubscribe"]

    refused = notifications()
    client.subscribe(refused)
    (request,) = sent(client)
    client.unsubscribe(refused)
    assert refuse(client, request) == []


def test_a_pause_loses_nothing():
    """A paused subscription is given back and asked for again from where it was."""
    client = ready()
    subscription = notifications()
    subscribed(client, subscription, position=0)
    give(client, **notification(1), subscriptionId="s1")
    client.pause(subscription)
    sent(client)

    assert give(client, **notification(2), subscriptionId="s1") == []
    assert reconnect(client) == []
    client.resume(subscription)
    client.resume(subscription)

    (request,) = sent(client)
    assert (request["action"], request["since"]) == ("notification/subscribe", 1)


def test_a_subscription_can_be_resumed_while_there_is_no_connection():
    """It is restored with the others then; one that was given up meanwhile is not."""
    client = ready()
    kept, gone = notifications(), notifications()
    subscribed(client, kept, position=5)
    subscribed(client, gone, "s2", position=5)
    for subscription in (kept, gone):
        client.pause(subscription)
    client.unsubscribe(gone)
    client.lost()

    client.resume(kept)
    client.resume(gone)
    client.opened(JSON_MODE)

    assert [request["since"] for request in sent(client)] == [5]


def test_a_refused_subscription_ends():
    """The first refusal is final, however temporary."""
    client = ready()
    subscription = notifications()
    client.subscribe(subscription)

    events = refuse(client, sent(client)[0], 503)

    assert events == [Ended(subscription, Refusal(503, "No"))]
    assert reconnect(client) == []


@pytest.mark.parametrize(("code", "ends"), [(403, True), (503, False)])
def test_a_subscription_that_was_live_survives_a_temporary_refusal(code, ends):
    """The connection is interrupted instead, and everything is restored on the next."""
    client = ready()
    subscription = notifications()
    subscribed(client, subscription, position=0)
    (again,) = reconnect(client)

    (event,) = refuse(client, again, code)

    assert isinstance(event, Ended if ends else Interrupted)
    assert len(reconnect(client)) == (0 if ends else 1)


def test_the_hub_may_end_a_subscription():
    """``subscription/closed`` forgets it, with the hub's reason; an unknown one is passed over."""
    client = ready()
    subscription = notifications()
    subscribed(client, subscription, position=0)

    (event,) = give(client, action="subscription/closed", subscriptionId="s1", reason="not-permitted", detail={"a": 1})

    assert event == Ended(subscription, Refusal(401, "the hub ended the subscription", "not-permitted", {"a": 1}))
    assert give(client, action="subscription/closed", subscriptionId="s1") == []
    assert reconnect(client) == []
    assert "waiting" in repr(subscription)


def test_a_repr_tells_the_state():
    """Failing tests and logs say where a subscription is."""
    client = ready()
    subscription = notifications()
    subscribed(client, subscription, position=3)

    assert repr(subscription) == "<Subscription notification live position=3>"
    client.pause(subscription)
    assert repr(subscription) == "<Subscription notification paused position=3>"
    assert repr(client) == "<Client ready pending=1 subscriptions=1>"


# --- the rest of what may come ----------------------------------------------------------------------------------------


def test_a_closing_announcement_says_when_to_come_back():
    """Both times are in seconds; nonsense counts as absent."""
    client = ready()

    full = give(client, action="connection/closing", code=1012, reason="restart", retryAfter=1, reconnectAfter=2.5)
    bare = give(client, action="connection/closing", code=4008, reason=None, retryAfter=-1, reconnectAfter=True)

    assert full == [Closing(1012, "restart", 1.0, 2.5)]
    assert bare == [Closing(4008)]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"status":"error","code":400,"error":"Incorrect JSON syntax"}',
        b'{"action":"notification/insert"}',
        b'{"action":"notification/insert","notification":7}',
        b'{"action":"command/insert","command":{"id":"7"},"subscriptionId":"s1"}',
        b'{"action":"command/update","command":null}',
        b'{"action":"connection/closing"}',
        b'{"action":"subscription/closed"}',
    ],
)
def test_a_frame_that_makes_no_sense_is_passed_over(payload):
    """It is reported, and the connection goes on."""
    client = ready()

    (event,) = client.receive(payload)

    assert isinstance(event, Unreadable)


@pytest.mark.parametrize("action", ["event/insert", None, 7, [], {}])
def test_unknown_pushes_are_passed_over(action):
    """A newer hub may send more than this client knows."""
    assert give(ready(), action=action, status="fine") == []


def test_a_refusal_is_read_leniently():
    """Whatever is not a success is a refusal, with or without its members."""
    client = ready()
    client.request(Action.SERVER_INFO, {})

    (event,) = give(client, requestId=1, status="?", code="x", error=None, reason=1, detail=[], retryAfter="1")

    assert event == Refused(1, Refusal(500, ""))


def test_a_subscription_without_an_id_in_its_answer_is_reported():
    """The answer makes no sense, so nothing is taken from it."""
    client = ready()
    client.subscribe(notifications())

    assert isinstance(answer(client, sent(client)[0])[0], Unreadable)


@given(st.lists(st.binary(max_size=40)), st.sampled_from([None, JSON_MODE, MSGPACK_MODE]))
def test_arbitrary_bytes_never_break_the_client(payloads, subprotocol):
    """Whatever comes, receiving returns."""
    client = ready(subprotocol)
    client.subscribe(notifications())
    client.take()

    for payload in payloads:
        client.receive(payload)

    client.request(Action.SERVER_INFO, {})
    assert client.take()


_members = st.sampled_from(
    [
        "action",
        "requestId",
        "subscriptionId",
        "status",
        "notification",
        "command",
        "code",
        "id",
        "deviceGuid",
        "timestamp",
    ]
)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(
        ["success", "notification/insert", "command/update", "connection/closing", "subscription/closed", "s1"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_members, inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(_members, _values, max_size=6), max_size=8))
def test_arbitrary_messages_never_break_the_client(messages):
    """The same for messages that look right from afar."""
    client = ready()
    client.subscribe(notifications())
    client.take()

    for message in messages:
        client.receive(JSON.encode(message))
        client.take()

    assert client.ready


# --- resuming, under any interleaving ---------------------------------------------------------------------------------


class Server:
    """A hub's messages and one connection to it: what it owes the client waits in ``wire`` and may be cut off.

    With ``numbered`` it answers with positions and replays by id, repeating up to ``overlap`` older messages as several
    workers may. Without, it is an original server in so far as it only knows timestamps.
    """

    def __init__(self, *, numbered: bool, overlap: int) -> None:
        self.numbered = numbered
        self.overlap = overlap
        self.log: list[tuple[int, str]] = []
        self.clock_ms = 1_000
        self.wire: list[dict[str, Any]] = []
        self.live: set[str] = set()
        self.count = 0

    def publish(self, step_ms: int) -> None:
        self.clock_ms += step_ms
        self.log.append((len(self.log) + 1, format_ms(self.clock_ms)))
        self.wire += [self._push(self.log[-1], server_id) for server_id in sorted(self.live)]

    def cut(self) -> None:
        self.wire.clear()
        self.live.clear()

    def take(self, request: dict[str, Any]) -> None:
        answered = {"action": request["action"], "requestId": request["requestId"], "status": "success"}
        if request["action"] == "server/info":
            # One millisecond before any later stamp, as the wire asks.
            self.wire.append({**answered, "info": {"serverTimestamp": format_ms(self.clock_ms - 1)}})
        elif request["action"] == "notification/unsubscribe":
            self.live.discard(request["subscriptionId"])
            self.wire.append(answered)
        else:
            self._subscribe(request, answered)

    def _subscribe(self, request: dict[str, Any], answered: dict[str, Any]) -> None:
        self.count += 1
        server_id = f"s{self.count}"
        self.live.add(server_id)
        position = {"position": len(self.log)} if self.numbered else {}
        self.wire.append({**answered, "subscriptionId": server_id, **position})
        self.wire += [self._push(entry, server_id) for entry in self._replay(request)]

    def _replay(self, request: dict[str, Any]) -> list[tuple[int, str]]:
        if "since" in request:
            return self.log[max(0, request["since"] - self.overlap) :]
        if "timestamp" not in request:
            return []
        since = request["timestamp"]
        at = [entry for entry in self.log if entry[1] == since]
        # Exactly one message with this stamp is taken for the one that the client has.
        return [entry for entry in self.log if entry[1] > since or (entry[1] == since and len(at) > 1)]

    @staticmethod
    def _push(entry: tuple[int, str], server_id: str) -> dict[str, Any]:
        return {**notification(entry[0], entry[1]), "subscriptionId": server_id}


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 2)),
        st.tuples(st.just("deliver"), st.sampled_from([1, 1, 2, 5])),
        st.tuples(st.just("reconnect"), st.integers(0, 1)),
        st.tuples(st.sampled_from(["pause", "resume", "send"]), st.just(0)),
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=400)
@given(
    steps=_steps,
    numbered=st.booleans(),
    overlap=st.sampled_from([0, 0, 0, 1, 5]),
    subprotocol=st.sampled_from([None, JSON_MODE]),
)
def test_every_message_comes_exactly_once_in_order(steps, numbered, overlap, subprotocol):
    """However connections break and readers pause, nothing after the first answer is lost or repeated."""
    if not numbered:
        subprotocol = None
    server = Server(numbered=numbered, overlap=overlap)
    client = ready(subprotocol)
    # The memory need not be longer than what a hub may repeat.
    subscription = notifications(remember=max(overlap, 1) if numbered else 1_000)
    client.subscribe(subscription)
    received: list[int] = []
    first: list[int] = []

    def deliver(count: int) -> None:
        for message in server.wire[:count]:
            events = client.receive(JSON.encode(message))
            if not first and any(isinstance(event, Subscribed) for event in events):
                # Everything on the wire behind the first answer came after it, and has the next id.
                first.append(next((entry["notification"]["id"] for entry in later(message)), len(server.log) + 1))
            received.extend(ids(events))
        del server.wire[:count]

    def later(message: dict[str, Any]) -> list[dict[str, Any]]:
        position = server.wire.index(message)
        return [entry for entry in server.wire[position:] if "notification" in entry]

    def send() -> None:
        for request in sent(client):
            server.take(request)

    for action, number in [*steps, ("reconnect", 0), ("resume", 0), ("send", 0), ("deliver", 10_000)]:
        match action:
            case "publish":
                server.publish(number if not numbered else 1)
            case "deliver":
                deliver(number)
            case "send":
                send()
            case "pause":
                client.pause(subscription)
            case "resume":
                client.resume(subscription)
            case "reconnect":
                server.cut()
                client.lost()
                client.opened(subprotocol)
                if number:
                    send()

    assert len(set(received)) == len(received)
    if first:
        # A server's time may lie a millisecond before the subscription, so older messages may come as well.
        assert [number for number in received if number >= first[0]] == list(range(first[0], len(server.log) + 1))
