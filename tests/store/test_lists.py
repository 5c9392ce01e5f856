"""Lists of entities: filters, patterns, order, pages, and who may see what."""

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from hub.store import Listing, Where, statements
from hub.store.schema import device as device_table
from protocol.names import INT64_MAX, KeyType, UserRole, UserStatus
from protocol.requests import SaveEquipment
from tests.store.world import add_device, add_user, insert_device

REPEATED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


# --- every list -------------------------------------------------------------------------------------------------------


async def test_users_are_listed_as_they_are_found_one_by_one(store):
    """With memberships and links, deleted ones included; filters all apply."""
    lamp = await add_device(store, network="home")
    for login in ("alice", "bob", "carol"):
        user = await add_user(store, login, data={"n": [1]}, google_login=f"{login}@home")
        await store.transact(lambda tx, user=user: tx.add_member(user.id, lamp.network_id))
        await store.transact(lambda tx, user=user: tx.add_link(("user", user.id), ("device", lamp.id)))
    await store.transact(lambda tx: tx.update_user(user.id, status=UserStatus.DELETED))

    def work(tx):
        of_role = Listing(equal={"role": UserRole.CLIENT, "status": UserStatus.ACTIVE}, like={"login": "_%o%"})
        return tx.list_users(Listing()), tx.users(), [one.login for one in tx.list_users(of_role)]

    listed, known, chosen = await store.transact(work)

    assert listed == known
    assert chosen == ["bob"]


async def test_networks_are_listed_among_some(store):
    """Those that a key names, however many it names; none at all of none."""

    def work(tx):
        made = [tx.insert_network(name=name, key="secret", description="ours") for name in "cab"]
        some = frozenset({made[0].id, made[2].id, *range(10_000, 50_000), 2**64 - 1})
        by_name = Listing(sort="name")
        return made, tx.list_networks(by_name), tx.list_networks(by_name, some), tx.list_networks(by_name, frozenset())

    (c, a, b), every, some, none = await store.transact(work)

    assert (every, some, none) == ([a, b, c], [b, c], [])


async def test_classes_are_listed_with_their_equipment(store):
    """As one by one; take 0 shows none."""

    def work(tx):
        made = [tx.insert_class(name="Sensor", version=version, data=[1], is_permanent=True) for version in "21"]
        tx.replace_equipment(made[0].id, [SaveEquipment("Lamp", "A", "light", {"pins": 2})])
        found = [tx.list_classes(Listing(equal={"version": version, "is_permanent": True})) for version in "12"]
        return tx.device_classes(), tx.list_classes(Listing()), found, tx.list_classes(Listing(take=0))

    (two, one), listed, found, none = await store.transact(work)

    assert (listed, found, none) == ([two, one], [[one], [two]], [])


async def test_keys_are_listed_of_one_user(store):
    """By label or type, and nobody else's."""
    alice, bob = await add_user(store), await add_user(store, "bob")

    def work(tx):
        for user, label, type_ in (
            (alice, "b", KeyType.DEFAULT),
            (alice, "a", KeyType.SESSION),
            (bob, "a", KeyType.OAUTH),
        ):
            tx.insert_key(user_id=user.id, label=label, permissions=[], type=type_)
        by_label = tx.list_keys(alice.id, Listing(sort="label"))
        sessions = tx.list_keys(alice.id, Listing(equal={"type": KeyType.SESSION}))
        return by_label, sessions, tx.keys(alice.id)

    by_label, sessions, mine = await store.transact(work)

    assert (by_label, sessions) == ([mine[1], mine[0]], [mine[1]])


@pytest.mark.parametrize("number", [2**31, INT64_MAX, -INT64_MAX - 1])
async def test_numbers_out_of_range_find_nothing(store, number):
    """A column holds less than a request may ask for."""
    await add_user(store)

    def work(tx):
        asked = [Listing(equal={"role": number}), Listing(skip=abs(number) - 1), Listing(take=abs(number) - 1)]
        return [len(tx.list_users(listing)) for listing in asked]

    assert await store.transact(work) == [0, 0, 1]


async def test_a_column_that_is_none_is_refused(store):
    """Names of columns come from the hub, and never from outside."""
    for listing in (Listing(equal={"1 = 1 --": "x"}), Listing(like={"x": "%"}), Listing(sort="1; DROP TABLE device")):
        with pytest.raises(KeyError):
            await store.transact(lambda tx, listing=listing: tx.list_devices(listing))


async def test_text_is_sorted_by_its_characters_numbers_and_nothing_comes_last(store):
    """Whatever language the database speaks; ties go by id, also when descending."""
    statuses = {"d": None, "c": "b", "b": "B", "a": "b", "e": "É", "f": "😀", "g": "\uffff", "h": None}
    await store.transact(lambda tx: [insert_device(tx, guid, status=status) for guid, status in statuses.items()])

    def guids(tx, **order):
        return "".join(device.guid for device in tx.list_devices(Listing(sort="status", **order)))

    assert await store.transact(guids) == "bcaegfdh"
    assert await store.transact(lambda tx: guids(tx, descending=True)) == "dhfgecab"
    assert await store.transact(lambda tx: guids(tx, skip=2, take=3)) == "aeg"


# --- patterns ---------------------------------------------------------------------------------------------------------

LETTERS = st.text("aA%_*?[]^-\\é😀\n'", max_size=8)


@REPEATED
@given(names=st.lists(LETTERS.filter(bool), min_size=1, max_size=8, unique=True), pattern=LETTERS)
async def test_a_pattern_matches_what_like_matches(store, names, pattern):
    """``%`` is any run, ``_`` one character, everything else literal, upper and lower case apart."""

    def work(tx):
        for network in tx.networks():
            tx.delete_network(network.id)
        for name in names:
            tx.insert_network(name=name)
        return [network.name for network in tx.list_networks(Listing(like={"name": pattern}))]

    found = await store.transact(work)

    model = re.compile("".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern), re.DOTALL)
    assert found == [name for name in names if model.fullmatch(name)]


@pytest.mark.parametrize("pattern", ["x" * 70_000, "_" * 129, "%a" * 40_000])
async def test_a_pattern_that_is_too_long_matches_nothing(store, pattern):
    """Databases refuse such; a request hears that there are none."""
    await add_device(store, name="a" * 128)

    assert await store.transact(lambda tx: tx.list_devices(Listing(like={"name": pattern}))) == []


@pytest.mark.parametrize("pattern", ["%" * 70_000, "%".join("_" * 128), "%" + "a" * 128])
async def test_a_pattern_of_full_length_matches(store, pattern):
    """As long as what it stands for can be."""
    lamp = await add_device(store, name="a" * 128)

    assert [lamp] == await store.transact(lambda tx: tx.list_devices(Listing(like={"name": pattern})))


# --- devices ----------------------------------------------------------------------------------------------------------


async def test_devices_are_filtered_by_what_they_belong_to(store):
    """By columns of their own, of their network and of their class; all at once."""
    lamp = await add_device(store, "lamp", network="home", status="On")
    await add_device(store, "door", network="home", status="Off")
    await add_device(store, "tree", status="On")
    asked = {
        "name": "Lamp",
        "status": "On",
        "network_id": lamp.network_id,
        "network_name": "home",
        "device_class_id": lamp.device_class.id,
        "device_class_name": "Sensor",
        "device_class_version": "1.0",
    }

    def found(tx, name, value):
        return len(tx.list_devices(Listing(equal={**asked, name: value}, like={"name": "L%"})))

    def work(tx):
        others = {name: "other" if isinstance(value, str) else value + 1 for name, value in asked.items()}
        return found(tx, "name", "Lamp"), [found(tx, *other) for other in others.items()]

    assert await store.transact(work) == (1, [0] * 7)


async def test_a_long_list_is_whole_and_in_order(store, monkeypatch):
    """However many pages it is read in; who shares a class or a network shares its object."""
    monkeypatch.setattr(statements, "PAGE", 3)
    made = await store.transact(
        lambda tx: [insert_device(tx, f"{n * 5 % 11}", network=f"n{n % 2}", data={"n": n}) for n in range(10)]
    )

    found = await store.consult(lambda tx: tx.list_devices(Listing(sort="guid", descending=True)))

    assert found == sorted(made, key=lambda device: device.guid, reverse=True)
    assert len({id(device.device_class) for device in found}) == 1
    assert len({id(device.network) for device in found}) == 2


async def test_a_reach_may_have_thousands_of_parts(store):
    """A key has as many permissions as somebody cared to write, and names as many devices."""
    lamp = await add_device(store, network="home")
    home = frozenset({lamp.network_id})
    nobody = [Where(networks=frozenset({-n}), guids=frozenset({"x"})) for n in range(3_000)]
    many = Where(guids=frozenset({"lamp", "no\0body", *map(str, range(40_000))}))

    def work(tx):
        reaches = nobody, [*nobody, Where(guids=frozenset({"lamp"}))], [many], [replace(many, networks=home)]
        return [tx.list_devices(Listing(), reach) for reach in reaches]

    assert [[], [lamp], [lamp], [lamp]] == await store.transact(work)


PLACES = {"a": (0, None), "b": (1, 7), "c": (None, 8), "d": (0, 8), "e": (None, None), "f": (1, 7)}
"""Of each device, the number of its network and its group."""

SETS = {
    "networks": st.frozensets(st.sampled_from([0, 1, 9])),
    "guids": st.frozensets(st.sampled_from([*PLACES, "g"])),
    "groups": st.frozensets(st.sampled_from([7, 8, 9])),
}
WHERES = st.builds(Where, **{name: st.none() | some for name, some in SETS.items()})


async def _placed(store):
    def work(tx):
        for guid, (place, group) in PLACES.items():
            made = insert_device(tx, guid, network=None if place is None else f"n{place}", name=f"{guid in 'ace'}")
            tx._sql.write(update(device_table).where(device_table.c.id == made.id).values(group_id=group))

    if not await store.transact(lambda tx: tx.devices()):
        await store.transact(work)
    return await store.transact(lambda tx: tx.devices())


def _admits(where, device):
    place, group = PLACES[device.guid]
    return (
        (where.networks is None or place in where.networks)
        and (where.guids is None or device.guid in where.guids)
        and (where.groups is None or group in where.groups)
    )


@REPEATED
@given(
    reach=st.none() | st.lists(WHERES, max_size=3),
    name=st.sampled_from([None, "True", "False"]),
    sort=st.sampled_from(["id", "name", "guid", "network_id"]),
    descending=st.booleans(),
    skip=st.integers(0, 4),
    take=st.none() | st.integers(0, 7),
)
async def test_devices_are_what_a_plain_filter_finds(store, reach, name, sort, descending, skip, take):
    """Reach is a union of conjunctions: no part reaches nothing, a part without conditions everything."""
    devices = await _placed(store)
    ids = {n: next(device.network_id for device in devices if PLACES[device.guid][0] == n) for n in (0, 1)}

    listing = Listing(equal={"name": name}, sort=sort, descending=descending, skip=skip, take=take)
    asked = None if reach is None else [_with_ids(where, ids) for where in reach]
    found = await store.consult(lambda tx: tx.list_devices(listing, asked))

    matching = [
        device
        for device in devices
        if (reach is None or any(_admits(where, device) for where in reach)) and name in (None, device.name)
    ]
    matching.sort(key=lambda device: device.id)
    matching.sort(key=lambda device: _key(device, sort), reverse=descending)
    assert found == matching[skip:][:take]


def _with_ids(where, ids):
    """The same, with the ids of networks for their numbers."""
    return (
        where if where.networks is None else replace(where, networks=frozenset(ids.get(n, -1) for n in where.networks))
    )


def _key(device, sort):
    value = getattr(device, sort)
    return (value is None, value or 0)
