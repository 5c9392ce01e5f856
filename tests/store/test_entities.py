"""Entities: what is written is found, with everything that hangs on it, and nothing outlives its owner."""

import pytest

from hub.store import Change
from hub.store.transaction import MANY
from protocol.entities import Equipment, EquipmentState
from protocol.errors import Conflict
from protocol.names import Kind, UserRole, UserStatus
from protocol.requests import SaveEquipment
from tests.store.world import add_device, add_user, append, command, insert_device, notification, read

# --- users ------------------------------------------------------------------------------------------------------------


async def test_a_user_is_found_with_everything_it_reaches(store):
    """Networks and links come with the user, whichever way it is looked up."""
    lamp = await add_device(store, network="home")
    alice = await add_user(store, data={"lang": "de"})

    def work(tx):
        tx.add_member(alice.id, lamp.network_id)
        tx.add_link(("user", alice.id), ("device", lamp.id))
        tx.add_link(("user", alice.id), ("group", 9))
        return tx.user(alice.id)

    known = await store.transact(work)

    assert ({lamp.network_id}, {"lamp"}, {9}) == (known.networks, known.linked_devices, known.linked_groups)
    assert known.data == {"lang": "de"}
    assert known == await store.find_user(alice.id)
    assert known == (await store.find_login("alice")).user
    assert [known] == await store.transact(lambda tx: tx.users())


async def test_a_login_is_unique_and_its_case_counts(store):
    """Alice is not alice."""
    await add_user(store, "alice")
    await add_user(store, "Alice")

    with pytest.raises(Conflict):
        await add_user(store, "alice")
    assert await store.find_login("ALICE") is None


async def test_a_deleted_user_cannot_log_in_but_keeps_the_login(store):
    """Status DELETED hides a user from look-ups by login, and from nothing else."""
    alice = await add_user(store)
    await store.transact(lambda tx: tx.update_user(alice.id, status=UserStatus.DELETED))

    assert await store.find_login("alice") is None
    assert await store.transact(lambda tx: tx.user_by_login("alice")) is None
    assert UserStatus.DELETED is (await store.find_user(alice.id)).status
    with pytest.raises(Conflict):
        await add_user(store)


async def test_an_update_leaves_alone_what_it_does_not_name(store):
    """UNSET is not None."""
    alice = await add_user(store, data=[1])
    await store.transact(lambda tx: tx.update_user(alice.id, role=UserRole.ADMIN))
    await store.transact(lambda tx: tx.update_user(alice.id, data=None))

    known = await store.find_user(alice.id)
    assert (known.login, known.role, known.data) == ("alice", UserRole.ADMIN, None)


async def test_a_new_password_counts_and_replaces_the_old_salt(store):
    """A change ends sessions; hashing the same password anew does not."""
    alice = await add_user(store, password_hash="old", password_salt="salt")
    await store.transact(lambda tx: tx.set_password(alice.id, password_hash="new"))
    await store.transact(lambda tx: tx.set_password(alice.id, password_hash="newer", ends_sessions=False))

    record = await store.find_login("alice")
    assert (record.password_hash, record.password_salt, record.user.password_changes) == ("newer", None, 1)


async def test_login_statistics_leave_no_trace(store):
    """They change with every login, and no cache needs to know."""
    alice = await add_user(store)
    before = await store.changes(-1)

    await store.transact(lambda tx: tx.record_login(alice.id, now_ms=5, login_attempts=2))
    await store.transact(lambda tx: tx.record_login(alice.id, now_ms=None, login_attempts=3))

    record = await store.find_login("alice")
    assert (record.user.last_login_ms, record.login_attempts) == (5, 3)
    assert before == await store.changes(-1)


async def test_only_active_administrators_count(store):
    """The last one of these must not go."""
    await add_user(store, "client")
    await add_user(store, "admin", role=UserRole.ADMIN)
    await add_user(store, "former", role=UserRole.ADMIN, status=UserStatus.DISABLED)

    assert await store.transact(lambda tx: tx.active_administrators()) == 1


async def test_a_user_goes_with_memberships_links_and_keys(store):
    """And the devices that it was linked to know it."""
    lamp = await add_device(store, network="home")
    alice = await add_user(store)

    def work(tx):
        tx.add_member(alice.id, lamp.network_id)
        tx.add_link(("user", alice.id), ("device", lamp.id))
        tx.insert_key(user_id=alice.id, label="a key", permissions=[])
        assert tx.device("lamp").has_users
        return tx.delete_user(alice.id), tx.delete_user(alice.id), tx.keys(), tx.device("lamp").has_users

    assert await store.transact(work) == (True, False, [], False)


async def test_a_user_is_found_by_an_identity_whatever_its_case(store):
    """The one that is the same to the letter first; deleted ones not at all."""
    alice = await add_user(store, google_login="Alice@home", github_login="alice")
    other = await add_user(store, "other", google_login="alice@HOME", facebook_login="alice")

    def work(tx):
        asked = ("google", "ALICE@home"), ("google", "alice@HOME"), ("facebook", "Alice"), ("github", "bob")
        found = [tx.user_by_identity(*identity) for identity in asked]
        tx.update_user(alice.id, status=UserStatus.DELETED)
        return found, tx.user_by_identity("github", "alice")

    assert ([alice, other, other, None], None) == await store.transact(work)


async def test_identities_are_changed_and_cleared(store):
    """None takes one away, UNSET leaves it."""
    alice = await add_user(store, google_login="a", facebook_login="b", github_login="c")

    def work(tx):
        tx.update_user(alice.id, google_login=None, github_login="d")
        known = tx.user(alice.id)
        return known.google_login, known.facebook_login, known.github_login

    assert await store.transact(work) == (None, "b", "d")


@pytest.mark.parametrize("column", ["login", "google_login", "facebook_login", "github_login"])
async def test_who_takes_anothers_login_hears_of_the_conflict(store, column):
    """In an update as in an insert, and nothing of it happens."""
    await add_user(store, "alice", google_login="a", facebook_login="a", github_login="a")
    bob = await add_user(store, "bob")
    taken = "alice" if column == "login" else "a"

    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.update_user(bob.id, **{column: taken, "data": 1}))
    with pytest.raises(Conflict):
        await add_user(store, **{"login": "carol", column: taken})

    assert bob == await store.find_user(bob.id)


# --- networks and classes ---------------------------------------------------------------------------------------------


async def test_a_network_goes_with_its_devices(store):
    """Its members lose it, and other devices stay."""
    lamp, door = await add_device(store, network="home"), await add_device(store, "door")
    alice = await add_user(store)
    await store.transact(lambda tx: tx.add_member(alice.id, lamp.network_id))
    await store.transact(lambda tx: tx.add_link(("user", alice.id), ("device", lamp.id)))

    assert await store.transact(lambda tx: tx.delete_network(lamp.network_id))

    assert [door] == await store.transact(lambda tx: tx.devices())
    known = await store.find_user(alice.id)
    assert (set(), set()) == (known.networks, known.linked_devices)
    assert not await store.transact(lambda tx: tx.delete_network(lamp.network_id))


async def test_a_network_is_found_by_name(store):
    """Names are unique; null clears what may be null."""
    home = await store.transact(lambda tx: tx.insert_network(name="home", key="secret", description="ours"))
    await store.transact(lambda tx: tx.update_network(home.id, key=None))

    known = await store.transact(lambda tx: tx.network_by_name("home"))
    assert (known.name, known.key, known.description) == ("home", None, "ours")
    assert [known] == await store.transact(lambda tx: tx.networks())
    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.insert_network(name="home"))


async def test_membership_is_a_set(store):
    """Joining twice is joining once."""
    alice = await add_user(store)
    home = await store.transact(lambda tx: tx.insert_network(name="home"))

    def work(tx):
        tx.add_member(alice.id, home.id)
        tx.add_member(alice.id, home.id)
        tx.remove_member(alice.id, home.id)
        tx.remove_member(alice.id, home.id)
        return tx.user(alice.id).networks, len(tx.changes())

    assert (frozenset(), 2) == await store.transact(work)


async def test_a_class_is_found_by_name_and_version(store):
    """With its equipment, in the order in which it was given."""
    kind = await store.transact(lambda tx: tx.insert_class(name="Sensor", version="1.0", offline_timeout_s=60))
    pieces = [SaveEquipment("Button", "B", "button", {"pins": 2}), SaveEquipment("Lamp", "A", "light")]

    def work(tx):
        tx.replace_equipment(kind.id, pieces)
        tx.update_class(kind.id, is_permanent=True, data={"v": 1})
        return tx.device_class("Sensor", "1.0")

    known = await store.transact(work)

    assert [piece.code for piece in known.equipment] == ["B", "A"]
    assert (
        known.is_permanent,
        known.offline_timeout_s,
        known.data,
        known.equipment[0].data,
    ) == (True, 60, {"v": 1}, {"pins": 2})
    assert [known] == await store.transact(lambda tx: tx.device_classes())
    assert await store.transact(lambda tx: tx.device_class("Sensor", "2.0")) is None


async def test_replaced_equipment_has_new_ids(store):
    """Old pieces are gone, even under the same code."""
    kind = await store.transact(lambda tx: tx.insert_class(name="Sensor", version="1.0"))

    def replace(tx):
        tx.replace_equipment(kind.id, [SaveEquipment("Lamp", "A", "light")])
        return tx.device_class("Sensor", "1.0").equipment[0].id

    assert await store.transact(replace) < await store.transact(replace)


async def test_a_class_is_renamed_unless_the_name_is_taken(store):
    """Name and version together are unique."""
    old = await store.transact(lambda tx: tx.insert_class(name="Sensor", version="1.0"))
    await store.transact(lambda tx: tx.insert_class(name="Sensor", version="2.0"))

    def rename(tx, version):
        tx.update_class(old.id, name="Sensor", version=version)
        return tx.class_by_id(old.id).version, [(change.entity, change.id) for change in tx.changes()]

    assert ("3.0", [("class", old.id)]) == await store.transact(lambda tx: rename(tx, "3.0"))
    with pytest.raises(Conflict):
        await store.transact(lambda tx: rename(tx, "2.0"))
    assert await store.transact(lambda tx: tx.class_by_id(99)) is None


async def test_a_class_goes_with_its_equipment_and_its_devices(store):
    """And users lose their links to these; other devices stay."""
    lamp = await add_device(store)
    alice = await add_user(store)

    def work(tx):
        door = insert_device(tx, "door", class_id=tx.insert_class(name="Door", version="1.0").id)
        tx.insert_equipment(lamp.device_class.id, SaveEquipment("Lamp", "A", "light"))
        tx.add_link(("user", alice.id), ("device", lamp.id))
        before = len(tx.changes())
        gone = tx.delete_class(lamp.device_class.id), tx.delete_class(lamp.device_class.id)
        left = [(change.entity, change.id) for change in tx.changes()[before:]]
        return gone, left, tx.devices() == [door], tx.device_classes() == [door.device_class], tx.user(alice.id)

    gone, left, *rest, known = await store.transact(work)

    assert (gone, rest) == ((True, False), [True, True])
    assert left == [("user", alice.id), ("device", lamp.id), ("class", lamp.device_class.id)]
    assert known.linked_devices == frozenset()


async def test_equipment_is_changed_piece_by_piece(store):
    """A change of a piece is a change of its class, and of no other class's."""
    kind, other = await store.transact(lambda tx: [tx.insert_class(name="Sensor", version=v) for v in "12"])

    def work(tx):
        before = len(tx.changes())
        made = tx.insert_equipment(kind.id, SaveEquipment("Lamp", "A", "light", {"pins": [2]}))
        tx.update_equipment(kind.id, made.id, name="Light", data=None)
        tx.update_equipment(kind.id, made.id)
        tx.update_equipment(other.id, made.id, name="Dark")
        changed = tx.equipment(kind.id, made.id)
        found = tx.equipment(other.id, made.id), tx.delete_equipment(other.id, made.id)
        whole = tx.class_by_id(kind.id).equipment
        gone = tx.delete_equipment(kind.id, made.id), tx.delete_equipment(kind.id, made.id)
        return made, changed, found, whole, gone, [(change.entity, change.id) for change in tx.changes()[before:]]

    made, changed, found, whole, gone, changes = await store.transact(work)

    assert made == Equipment(made.id, "Lamp", "A", "light", {"pins": [2]})
    assert (changed,) == whole == (Equipment(made.id, "Light", "A", "light", None),)
    assert (found, gone) == ((None, False), (True, False))
    assert changes == [("class", kind.id)] * 3


async def test_a_code_is_there_once_in_a_class(store):
    """Another class may have it too; a class that is not there has none."""
    kind, other = await store.transact(lambda tx: [tx.insert_class(name="Sensor", version=v) for v in "12"])
    lamp = SaveEquipment("Lamp", "A", "light")
    await store.transact(lambda tx: [tx.insert_equipment(one.id, lamp) for one in (kind, other)])
    button = await store.transact(lambda tx: tx.insert_equipment(kind.id, SaveEquipment("Button", "B", "button")))

    for work in (
        lambda tx: tx.insert_equipment(kind.id, lamp),
        lambda tx: tx.update_equipment(kind.id, button.id, code="A"),
        lambda tx: tx.insert_equipment(99, lamp),
    ):
        with pytest.raises(Conflict):
            await store.transact(work)


# --- devices ----------------------------------------------------------------------------------------------------------


async def test_a_device_is_found_with_network_and_class(store):
    """One look-up brings everything that a view shows."""
    lamp = await add_device(store, network="home", data={"x": 1}, status="On")

    record = await store.find_device("lamp")

    assert lamp == record.device
    assert (
        lamp.network.name,
        lamp.device_class.name,
        lamp.data,
        lamp.status,
    ) == ("home", "Sensor", {"x": 1}, "On")
    assert await store.find_device("Lamp") is None


async def test_many_devices_are_found_at_once(store):
    """Each with its own network, all with the one object of their class; who is not there is left out."""
    devices = [await add_device(store, guid, network=place) for guid, place in (("a", "x"), ("b", "y"), ("c", None))]
    await store.transact(
        lambda tx: tx.replace_equipment(devices[0].device_class.id, [SaveEquipment("n", "c", "t", {"x": [1]})])
    )

    found = {record.device.guid: record.device for record in await store.find_devices(["a", "c", "b", "d", "A"])}

    assert found == {guid: await store.transact(lambda tx, guid=guid: tx.device(guid)) for guid in "abc"}
    assert found["a"].device_class.equipment[0].data == {"x": [1]}
    assert found["a"].device_class is found["b"].device_class is found["c"].device_class


async def test_nobody_is_found_when_nobody_is_asked_for(store):
    """An empty question has an empty answer."""
    assert await store.find_devices([]) == []


async def test_a_device_key_is_recognised_and_never_stored(store, tmp_path):
    """Only its keyed hash is kept."""
    lamp = await add_device(store, key="open sesame")

    record = await store.find_device("lamp")

    assert store.key_matches("open sesame", record.key_hash)
    assert not store.key_matches("open sesame!", record.key_hash)
    assert await store.transact(lambda tx: tx.device_key_matches(lamp.id, "open sesame"))
    assert not await store.transact(lambda tx: tx.device_key_matches(lamp.id + 1, "open sesame"))
    assert not any(b"open sesame" in file.read_bytes() for file in tmp_path.iterdir())


async def test_a_device_moves_and_leaves_a_network(store):
    """None takes it out of every network; UNSET leaves it where it is."""
    lamp = await add_device(store, network="home")

    def work(tx):
        tx.update_device(lamp.id, name="Light", key="other", is_blocked=True)
        moved = tx.device("lamp")
        tx.update_device(lamp.id, network_id=None)
        return moved, tx.device("lamp"), tx.device_key_matches(lamp.id, "other")

    moved, alone, matches = await store.transact(work)

    assert ("Light", lamp.network, True) == (moved.name, moved.network, moved.is_blocked)
    assert (alone.network, matches) == (None, True)


async def test_devices_are_listed_by_guid_in_pages(store):
    """Strictly after the last one, so that pages neither overlap nor leave a gap."""
    await store.transact(lambda tx: [insert_device(tx, guid) for guid in "cabde"])

    first = await store.transact(lambda tx: tx.devices(limit=3))
    rest = await store.transact(lambda tx: tx.devices(after=first[-1].guid))

    assert [device.guid for device in first + rest] == ["a", "b", "c", "d", "e"]


async def test_a_row_id_is_never_given_twice(store):
    """A message, a link or a cache must never mean the next owner of an id."""

    def again(tx):
        device, user = insert_device(tx), tx.insert_user(login="alice", role=UserRole.CLIENT)
        tx.delete_device("lamp")
        tx.delete_user(user.id)
        return device.id, user.id

    first, second = await store.transact(again), await store.transact(again)
    assert first[0] < second[0]
    assert first[1] < second[1]


async def test_a_device_goes_with_what_hangs_on_it(store):
    """Equipment states, activity and links, but no other device's."""
    lamp, door = await add_device(store), await add_device(store, "door")
    alice = await add_user(store)

    def work(tx):
        for device in (lamp, door):
            tx.add_link(("user", alice.id), ("device", device.id))
            tx.put_equipment_state(device.id, EquipmentState("LED", 1, {}))
            tx.touch([(device.id, 1)])
        gone = tx.delete_device("lamp"), tx.delete_device("lamp")
        states = len(tx.equipment_states(lamp.id)), len(tx.equipment_states(door.id))
        return gone, states, tx.user(alice.id).linked_devices

    assert ((True, False), (0, 1), {"door"}) == await store.transact(work)


@pytest.mark.parametrize("of", ["network_id", "class_id"])
async def test_many_devices_go_a_few_at_a_time(store, of):
    """Those of a network or of a class, with what hangs on them, and no others; the last piece is smaller."""
    devices = [await add_device(store, f"d{number}", network="home") for number in range(5)]
    other = await store.transact(lambda tx: tx.insert_class(name="Other", version="1").id)
    await add_device(store, "door", class_id=other)
    await store.transact(lambda tx: tx.put_equipment_state(devices[0].id, EquipmentState("LED", 1, {})))
    which = {"network_id": devices[0].network_id, "class_id": devices[0].device_class.id}[of]

    pieces = [await store.transact(lambda tx: tx.delete_devices(**{of: which}, limit=2)) for _ in range(4)]

    assert pieces == [2, 2, 1, 0]
    assert [device.guid for device in await store.transact(lambda tx: tx.devices())] == ["door"]
    assert await store.transact(lambda tx: tx.equipment_states(devices[0].id)) == []


async def test_devices_that_go_a_few_at_a_time_are_all_named(store):
    """However many: told of "many" with each piece, everybody would look again each time."""
    numbers = range(MANY + 20)
    devices = await store.transact(lambda tx: [insert_device(tx, f"d{number}", network="home") for number in numbers])
    alice = await add_user(store)
    for device in devices[:2]:
        await store.transact(lambda tx, device=device: tx.add_link(("user", alice.id), ("device", device.id)))
    before = await store.changes(-1)

    def work(tx):
        tx.delete_devices(network_id=devices[0].network_id, limit=1_000)
        return tx.changes()

    told = await store.transact(work)
    seen = await store.changes(before.revision)

    assert {("user", alice.id, None)} | {("device", device.id, device.guid) for device in devices} == {
        (change.entity, change.id, change.guid) for change in told
    }
    assert sorted(told, key=lambda change: change.revision) == list(seen.changes)


async def test_messages_of_devices_can_go_little_by_little(store):
    """Notifications and commands of the devices that are named, so many at once, and no other device's."""
    lamp, door = await add_device(store), await add_device(store, "door")
    await append(store, [notification(lamp), notification(door), notification(lamp)])
    await append(store, [command(lamp), command(door)])

    gone = [await store.transact(lambda tx: tx.delete_messages([lamp.id], limit=2)) for _ in range(3)]

    assert gone == [2, 1, 0]
    assert {"door"} == {message.device_guid for kind in Kind for message in await read(store, kind)}


async def test_the_state_of_a_piece_is_replaced(store):
    """One state per code, the last one."""
    lamp = await add_device(store)
    states = [EquipmentState("LED", 2, {"on": True}), EquipmentState("fan", 2, None)]

    def work(tx):
        tx.put_equipment_state(lamp.id, EquipmentState("LED", 1, [1]))
        for state in states:
            tx.put_equipment_state(lamp.id, state)
        one_by_one = [tx.equipment_state(lamp.id, code) for code in ("LED", "fan", "led")]
        return tx.equipment_states(lamp.id), one_by_one, tx.equipment_state(lamp.id + 1, "LED")

    assert (states, [*states, None], None) == await store.transact(work)


async def test_a_link_is_a_set(store):
    """Linking twice is linking once; only real changes leave a trace."""
    lamp, alice = await add_device(store), await add_user(store)
    ends = ("user", alice.id), ("device", lamp.id)

    def work(tx):
        for change in (tx.add_link, tx.add_link, tx.remove_link, tx.remove_link):
            change(*ends)
        return [(change.entity, change.id) for change in tx.changes()]

    assert [("user", alice.id), ("device", lamp.id)] * 2 == await store.transact(work)


# --- configuration ----------------------------------------------------------------------------------------------------


async def test_a_configuration_row_is_replaced_and_removed(store):
    """A name has one value."""

    def work(tx):
        tx.put_configuration("session.timeout", "1")
        tx.put_configuration("session.timeout", "2")
        tx.put_configuration("rest.url", "x")
        tx.delete_configuration("rest.url")
        tx.delete_configuration("rest.url")
        values = tx.configuration_value("session.timeout"), tx.configuration_value("rest.url")
        return tx.configuration(), values, len(tx.changes())

    assert await store.transact(work) == ({"session.timeout": "2"}, ("2", None), 4)


# --- the trace of changes ---------------------------------------------------------------------------------------------


async def test_every_change_leaves_a_trace_in_order(store):
    """Another process learns what changed since it last asked."""
    start = await store.changes(-1)
    lamp = await add_device(store, network="home")
    await store.transact(lambda tx: tx.update_device(lamp.id, status="On"))

    seen = await store.changes(start.revision)

    assert seen.complete
    assert [change.entity for change in seen.changes] == ["class", "network", "device", "device"]
    assert Change(seen.revision, "device", lamp.id, "lamp") == seen.changes[-1]
    assert sorted(change.revision for change in seen.changes) == [change.revision for change in seen.changes]
    assert (await store.changes(seen.revision)).changes == ()


async def test_an_undone_change_leaves_no_trace(store):
    """The trace is part of the transaction."""
    before = await store.changes(-1)

    def work(tx):
        tx.insert_network(name="home")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.transact(work)

    assert before == await store.changes(-1)


async def test_a_change_of_very_many_names_none(store):
    """Deleting a large network says: any device, any user."""
    devices = await store.transact(lambda tx: [insert_device(tx, f"d{n}", network="home") for n in range(120)])

    def work(tx):
        tx.delete_network(devices[0].network_id)
        return [(change.entity, change.id) for change in tx.changes()]

    assert [("device", None), ("network", devices[0].network_id)] == await store.transact(work)


async def test_another_process_sees_the_same_changes(store, open_store):
    """The command line works beside a running hub."""
    start = await store.changes(-1)

    async with open_store() as other:
        lamp = await add_device(other)

    assert ("device", lamp.id) in [
        (change.entity, change.id) for change in (await store.changes(start.revision)).changes
    ]
    assert (await store.find_device("lamp")).device == lamp


async def test_who_asks_too_late_hears_so(store, clock):
    """Changes are kept for an hour; then it is: drop everything."""
    from protocol.names import Kind

    await add_device(store)
    clock.now_ms += 3_600_001
    lamp = (await store.find_device("lamp")).device
    await store.transact(lambda tx: tx.update_device(lamp.id, status="On"))
    newest = (await store.changes(-1)).revision

    await store.prune(Kind.COMMAND, before_ms=0, per_device=10)

    late = await store.changes(0)
    assert (newest, (), False) == (late.revision, late.changes, late.complete)
    assert (await store.changes(newest - 1)).complete


async def test_who_is_ahead_of_the_database_hears_so(store):
    """A database that was restored from a backup is behind: every cache is wrong."""
    await add_device(store)

    assert not (await store.changes(10**6)).complete
