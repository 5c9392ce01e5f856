"""Batches: in order, durable, and each write with an outcome of its own."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.store import Amend, Append, Idempotency, Transact
from protocol.errors import GUID_REQUIRED, BadRequest, Conflict
from protocol.messages import NULL, CommandPatch
from protocol.names import Kind, UserRole
from protocol.requests import to_json
from tests.builders import EARLIER_MS
from tests.store.world import add_device, append, command, notification, read

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values)
    ),
    max_leaves=8,
)


async def test_a_written_message_is_read_back_as_it_was(store):
    """Whatever a notification or a command carries survives the log."""
    lamp = await add_device(store)
    told = notification(lamp, "watts", {"value": 60, "text": 'a "quoted" \u0001 ⚡'})
    asked = command(lamp, "on", [1, None], user_id=7, lifetime_s=60, status="new", result={"ok": True})

    await append(store, [told, asked])

    assert [told] == await read(store, Kind.NOTIFICATION)
    assert [asked] == await read(store, Kind.COMMAND)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(name=TEXTS, parameters=VALUES, result=VALUES, status=st.none() | TEXTS)
async def test_free_values_survive_to_the_letter(store, name, parameters, result, status):
    """The text of a JSON value is stored byte by byte, not as SQLite would write it."""
    lamp = await store.transact(lambda tx: tx.device("lamp")) or await add_device(store)
    asked = command(lamp, name, parameters, result=result, status=status)

    await append(store, [asked])

    assert asked == await store.command(lamp.id, asked.id)


async def test_a_repeated_message_is_stored_once(store):
    """Appending is idempotent on the id, so a retry is safe."""
    lamp = await add_device(store)
    message = notification(lamp)

    outcomes = await append(store, [message, message])

    assert [message, message] == outcomes
    assert [message] == await read(store)


@pytest.mark.parametrize("make", [notification, command])
async def test_a_large_batch_may_be_repeated(store, make):
    """However many there are, those that are known are passed over and the others stored."""
    lamp = await add_device(store)
    messages = [make(lamp, parameters={"n": n, "text": "tab\t and \\N"}) for n in range(600)]

    await append(store, messages[:400])
    await append(store, messages)
    await append(store, messages)

    assert messages == await read(store, messages[0].kind)


async def test_a_repeated_command_is_not_taken_back(store):
    """A retry of an insert leaves an update alone that has come since."""
    lamp = await add_device(store)
    asked = command(lamp)
    await append(store, [asked])
    await store.write([Amend(lamp.id, "lamp", asked.id, CommandPatch({"status": "done"}))])

    await append(store, [asked])

    stored = await store.command(lamp.id, asked.id)
    assert stored.status == "done"


async def test_a_batch_is_carried_out_in_its_order(store):
    """A write sees what the writes before it did, whatever their kinds."""
    lamp = await add_device(store)
    asked = command(lamp)
    told = [notification(lamp) for _ in range(3)]

    outcomes = await store.write(
        [
            Append(told[0]),
            Append(told[1]),
            Append(asked),
            Amend(lamp.id, "lamp", asked.id, CommandPatch({"status": "done"})),
            Transact(lambda tx: tx.update_device(lamp.id, status="On")),
            Transact(lambda tx: tx.device("lamp").status),
            Append(told[2]),
        ]
    )

    assert [*told[:2], asked, replace(asked, status="done", updated=True), None, "On", told[2]] == outcomes
    assert told == await read(store)


async def test_an_empty_batch_is_nothing(store):
    """A gateway that has nothing to write may say so."""
    assert await store.write([]) == []


async def test_batches_of_many_tasks_do_not_mix_their_outcomes(store):
    """Whoever writes gets the answers to its own batch."""
    lamp = await add_device(store)
    batches = [[notification(lamp) for _ in range(5)] for _ in range(20)]

    outcomes = await asyncio.gather(*(append(store, batch) for batch in batches))

    assert batches == outcomes
    assert [message for batch in batches for message in batch] == await read(store)


# --- one failure among others -----------------------------------------------------------------------------------------


async def test_a_refusal_undoes_only_its_own_work(store):
    """A HubError is the outcome of the write that raised it; the others hold."""
    lamp = await add_device(store)
    told = [notification(lamp), notification(lamp)]

    def refused(tx):
        tx.update_device(lamp.id, name="Half-way")
        raise GUID_REQUIRED.error()

    outcomes = await store.write([Append(told[0]), Transact(refused), Append(told[1])])

    assert isinstance(outcomes[1], BadRequest)
    assert told == await read(store)
    assert (await store.find_device("lamp")).device.name == "Lamp"


async def test_a_mistake_in_one_work_does_not_reach_the_others(store):
    """Even an unexpected exception stays with the work that raised it."""
    lamp = await add_device(store)
    told = notification(lamp)

    outcomes = await store.write([Transact(lambda tx: 1 / 0), Append(told)])

    assert isinstance(outcomes[0], ZeroDivisionError)
    assert [told] == await read(store)


async def test_a_conflict_is_the_outcome_of_its_work(store):
    """A uniqueness rule that fails spoils neither the batch nor the connection."""
    insert = Transact(lambda tx: tx.insert_user(login="alice", role=UserRole.CLIENT).login)

    outcomes = await store.write([insert, insert, Transact(lambda tx: len(tx.users()))])

    assert isinstance(outcomes[1], Conflict)
    assert [outcomes[0], outcomes[2]] == ["alice", 1]


async def test_transact_raises_what_its_work_raises(store):
    """The caller sees the refusal, and nothing of the work remains."""

    def refused(tx):
        tx.insert_network(name="net")
        raise GUID_REQUIRED.error()

    with pytest.raises(BadRequest):
        await store.transact(refused)

    assert await store.transact(lambda tx: tx.networks()) == []


# --- updates of commands ----------------------------------------------------------------------------------------------


async def test_an_update_changes_only_what_it_carries(store):
    """Present members win, null clears, absent ones stay."""
    lamp = await add_device(store)
    asked = command(lamp, "on", {"level": 3}, status="new", lifetime_s=60)
    await append(store, [asked])
    patch = CommandPatch({"status": None, "result": to_json({"ok": True})})

    (updated,) = await store.write([Amend(lamp.id, "lamp", asked.id, patch)])

    assert asked.amended(patch) == updated
    assert updated == await store.command(lamp.id, asked.id)


async def test_an_empty_update_marks_the_command_all_the_same(store):
    """A device that says nothing has still answered."""
    lamp = await add_device(store)
    asked = command(lamp)
    await append(store, [asked])

    (updated,) = await store.write([Amend(lamp.id, "lamp", asked.id, CommandPatch({}))])

    assert updated.updated


async def test_an_update_of_the_lifetime_counts_from_the_insertion(store):
    """However late the update comes, the command ends where its timestamp and its lifetime say."""
    lamp = await add_device(store)
    asked, other = command(lamp, lifetime_s=1), command(lamp, lifetime_s=1)
    await append(store, [asked, other])
    end_ms = asked.timestamp_ms + 60_000

    await store.write([Amend(lamp.id, "lamp", asked.id, CommandPatch({"lifetime_s": 60}))])
    await store.write([Amend(lamp.id, "lamp", other.id, CommandPatch({"lifetime_s": 0}))])

    ends_ms = [(await store.command(lamp.id, message.id)).expires_ms() for message in (asked, other)]
    assert [end_ms, None] == ends_ms


async def test_a_foreign_command_is_not_updated(store):
    """A device reaches its own commands only."""
    lamp, door = await add_device(store), await add_device(store, "door")
    asked = command(lamp)
    await append(store, [asked])

    outcomes = await store.write([Amend(door.id, "door", asked.id, CommandPatch({"status": "stolen"}))])

    assert outcomes == [None]
    assert asked == await store.command(lamp.id, asked.id)


# --- idempotency keys -------------------------------------------------------------------------------------------------

ONCE = Idempotency("user:1", "command/insert", "a1")


async def test_a_repetition_with_the_same_key_gets_the_first_message(store):
    """A retry after an unknown outcome makes nothing new."""
    lamp = await add_device(store)
    first, second = command(lamp), command(lamp)

    outcomes = await store.write([Append(first, ONCE)]) + await store.write([Append(second, ONCE)])

    assert [first, first] == outcomes
    assert [first] == await read(store, Kind.COMMAND)


async def test_a_repetition_inside_a_batch_counts_too(store):
    """Both may arrive in the same turn."""
    lamp = await add_device(store)
    first, second = notification(lamp), notification(lamp)

    outcomes = await store.write([Append(first, ONCE), Append(second, ONCE)])

    assert outcomes[0] is first
    assert [first, first] == outcomes


@pytest.mark.parametrize(
    "other",
    [
        Idempotency("user:2", "command/insert", "a1"),
        Idempotency("user:1", "notification/insert", "a1"),
        Idempotency("user:1", "command/insert", "a2"),
    ],
)
async def test_another_principal_action_or_key_is_no_repetition(store, other):
    """Nobody gets the answer to another's request."""
    lamp = await add_device(store)
    first, second = command(lamp), command(lamp)

    outcomes = await store.write([Append(first, ONCE), Append(second, other)])

    assert [first, second] == outcomes


async def test_another_device_is_no_repetition(store):
    """The device belongs to what is repeated."""
    lamp, door = await add_device(store), await add_device(store, "door")
    first, second = command(lamp), command(door)

    assert [first, second] == await store.write([Append(first, ONCE), Append(second, ONCE)])


async def test_after_a_day_a_key_may_be_used_again(store):
    """A key is remembered for 24 hours."""
    lamp = await add_device(store)
    day_ms = 24 * 3_600_000
    first = command(lamp, timestamp_ms=EARLIER_MS)
    within = command(lamp, timestamp_ms=EARLIER_MS + day_ms - 1)
    later = command(lamp, timestamp_ms=EARLIER_MS + day_ms)

    outcomes = await store.write([Append(message, ONCE) for message in (first, within, later)])

    assert [first, first, later] == outcomes


async def test_a_removed_message_is_still_known_by_its_key(store):
    """Retention may be faster than the day; the answer to a repetition stays the same."""
    lamp = await add_device(store)
    first, second = notification(lamp, parameters={"a": 1}), notification(lamp)
    await store.write([Append(first, ONCE)])
    await store.prune(Kind.NOTIFICATION, before_ms=first.timestamp_ms + 1, per_device=10)

    (outcome,) = await store.write([Append(second, ONCE)])

    assert (first.id, first.timestamp_ms, NULL) == (outcome.id, outcome.timestamp_ms, outcome.parameters)


async def test_an_update_is_what_a_repetition_gets(store):
    """The first message, as it is by now."""
    lamp = await add_device(store)
    first = command(lamp)
    await store.write([Append(first, ONCE)])
    await store.write([Amend(lamp.id, "lamp", first.id, CommandPatch({"status": "done"}))])

    (outcome,) = await store.write([Append(command(lamp), ONCE)])

    assert outcome.status == "done"


# --- messages of a transaction ----------------------------------------------------------------------------------------


async def test_a_transaction_stores_its_messages_with_its_changes(store):
    """What belongs together is committed together, and the work can tell what it stored."""
    lamp = await add_device(store)
    told = notification(lamp, "$device-update")

    def work(tx):
        tx.update_device(lamp.id, status="On")
        device = tx.device("lamp")
        tx.append(told, device)
        return tx.appended(), device, tx.changes()

    appended, device, changes = await store.transact(work)

    assert [(told, device)] == appended
    assert [("device", lamp.id, "lamp")] == [(change.entity, change.id, change.guid) for change in changes]
    assert [told] == await read(store)


async def test_each_work_tells_only_of_itself(store):
    """Works in one batch do not publish each other's messages."""
    lamp = await add_device(store)

    def work(tx):
        tx.append(notification(lamp), lamp)
        tx.update_device(lamp.id, status="On")
        return len(tx.appended()), len(tx.changes())

    assert await store.write([Transact(work), Transact(work)]) == [(1, 1), (1, 1)]


async def test_a_transaction_recognises_a_repetition(store, clock):
    """An action that also changes entities keeps the same promise."""
    lamp = await add_device(store)
    told = notification(lamp)

    def work(tx):
        if (known := tx.repeated(lamp.id, ONCE)) is not None:
            return known
        tx.append(told, lamp, ONCE)
        return None

    assert [None, told] == [await store.transact(work), await store.transact(work)]
