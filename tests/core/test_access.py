"""Access: what the compiled answer admits, and that conditions only ever narrow it."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.access import (
    ANONYMOUS,
    NO_ACCESS,
    RULES,
    Clause,
    Peer,
    Principal,
    device_principal,
    key_principal,
    parse_address,
    permit,
    scopes_of_both,
    user_principal,
)
from protocol.entities import AccessKey, KeyPermission
from protocol.errors import Unauthorized
from protocol.names import ADMIN_ACTIONS, CLIENT_ACTIONS, Action, KeyAction, Role
from tests.builders import access_key, administrator, device, network, permission, user
from tests.core.model import (
    GROUPS,
    GUIDS,
    NAMED,
    NETWORKS,
    Place,
    actions,
    key_sees,
    keys,
    owner_sees,
    owners,
    permissions,
    places,
    some,
    users,
)

SEE = KeyAction.GET_DEVICE_NOTIFICATION
HERE = Peer()


def sees(principal: Principal, action: KeyAction, place: Place) -> bool:
    """Whether the compiled access lets a principal do this to a device in this place."""
    guid, network_id, groups = place
    return principal.access.sees(action, device(guid, network_id=network_id, groups=groups))


def from_peer(entry: KeyPermission, address: str | None = None, origin: str | None = None) -> bool:
    """Whether a permission lets a peer through that comes from this address and origin."""
    peer = Peer(parse_address(address) if address else None, origin)
    return key_principal(access_key(entry), administrator(), peer).access.allows(SEE)


# --- the compiled answer is the plain one -----------------------------------------------------------------------------


@given(owner=owners, action=actions, place=places)
def test_a_user_sees_what_networks_and_links_reach(owner, action, place):
    """The compiled access of a user says exactly what the rules say."""
    assert sees(user_principal(owner), action, place) == owner_sees(owner, place)


@given(key=keys, owner=owners, action=actions, place=places)
def test_a_key_sees_what_its_owner_and_one_of_its_permissions_admit(key, owner, action, place):
    """The compiled access of a key says exactly what the rules say."""
    assert sees(key_principal(key, owner, HERE), action, place) == key_sees(key, owner, action, place)


@given(place=places, action=actions)
def test_a_device_sees_itself_only(place, action):
    """Neither network nor group lets a device see another one."""
    assert sees(device_principal(device("lamp")), action, place) == (place[0] == "lamp")


@given(action=actions, place=places)
def test_nobody_sees_nothing(action, place):
    """Without access there is no action, no device and no network."""
    assert not sees(ANONYMOUS, action, place)
    assert not NO_ACCESS.allows(action)
    assert not NO_ACCESS.reaches_network(action, 1)


# --- conditions only narrow -------------------------------------------------------------------------------------------


@st.composite
def narrowed(draw, entry: KeyPermission) -> KeyPermission:
    """The same permission with one list shortened, or put where there was none."""
    name, offered = draw(
        st.sampled_from(
            [
                ("actions", tuple(KeyAction)),
                ("network_ids", NETWORKS),
                ("device_guids", GUIDS),
                ("subnets", ("10.0.0.0/8", "::/0")),
                ("domains", ("example.com", "localhost")),
            ]
        )
    )
    before = getattr(entry, name)
    return replace(entry, **{name: draw(some(offered if before is None else before)) if before != () else ()})


peers = st.builds(
    Peer,
    st.none() | st.sampled_from(["10.1.2.3", "192.0.2.1", "2001:db8::1"]).map(ip_address),
    st.none() | st.sampled_from(["https://app.example.com", "http://localhost:8080", "null"]),
)


@given(key=keys, owner=owners, peer=peers, action=actions, place=places)
def test_a_key_never_admits_more_than_its_owner(key, owner, peer, action, place):
    """Whatever a key says, its owner's reach is the most it can give."""
    assert sees(user_principal(owner), action, place) or not sees(key_principal(key, owner, peer), action, place)


@given(data=st.data(), others=st.lists(permissions, max_size=1), owner=owners, peer=peers, action=actions, place=places)
def test_narrowing_a_permission_admits_nothing_new(data, others, owner, peer, action, place):
    """A condition added, or a list made shorter, never lets anything through that was not let through before."""
    entry = data.draw(permissions)
    narrower = data.draw(narrowed(entry))

    before = key_principal(access_key(entry, *others), owner, peer)
    after = key_principal(access_key(narrower, *others), owner, peer)

    assert sees(before, action, place) or not sees(after, action, place)
    assert before.access.allows(action) or not after.access.allows(action)
    for network_id in NETWORKS:
        assert before.access.reaches_network(action, network_id) or not after.access.reaches_network(action, network_id)


@given(key=keys, owner=owners, action=actions, place=places)
def test_removing_a_permission_admits_nothing_new(key, owner, action, place):
    """Permissions are alternatives: without one of them a key admits at most what it did."""
    fewer = replace(key, permissions=key.permissions[1:])

    assert sees(key_principal(key, owner, HERE), action, place) or not sees(
        key_principal(fewer, owner, HERE), action, place
    )


@given(owner=users, key=st.none() | keys, lost=st.sampled_from(NETWORKS), action=actions, place=places)
def test_losing_a_network_admits_nothing_new(owner, key, lost, action, place):
    """A user who is taken out of a network sees at most what was seen before, in person and through keys."""
    after = replace(owner, networks=owner.networks - {lost})

    def admitted(somebody):
        who = user_principal(somebody) if key is None else key_principal(key, somebody, HERE)
        return sees(who, action, place), who.access.reaches_network(action, lost)

    assert all(before or not now for before, now in zip(admitted(owner), admitted(after), strict=True))
    assert not admitted(after)[1]


@given(owner=owners, entry=permissions, peer=peers, action=actions, place=places)
@pytest.mark.parametrize("name", ["actions", "subnets", "network_ids", "device_guids"])
def test_an_empty_list_admits_nothing(name, owner, entry, peer, action, place):
    """Null is no restriction; a list with nothing in it is a restriction that nothing satisfies."""
    who = key_principal(access_key(replace(entry, **{name: ()})), owner, peer)

    assert not who.access.allows(action)
    assert not sees(who, action, place)


@pytest.mark.parametrize(("origin", "applies"), [(None, True), ("https://example.com", False), ("null", False)])
def test_an_empty_list_of_domains_admits_only_programs(origin, applies):
    """Domain rules ask who sent an Origin; whoever sent none is not asked."""
    assert from_peer(permission(domains=[]), origin=origin) == applies


@given(place=places, action=actions)
def test_a_key_without_permissions_may_nothing(place, action):
    """Permissions are what a key has; it starts with none."""
    who = key_principal(AccessKey(7, 1, "empty"), administrator(), HERE)

    assert not who.access.allows(action)
    assert not sees(who, action, place)


@given(owner=users, entry=permissions, action=st.sampled_from(sorted(ADMIN_ACTIONS)))
def test_a_clients_key_never_administrates(owner, entry, action):
    """Administrative actions count only for keys of administrators, whether the key names them or names nothing."""
    key = access_key(permission(), entry, permission(actions=[action]))

    assert not key_principal(key, owner, HERE).access.allows(action)


@pytest.mark.parametrize("action", KeyAction)
def test_an_administrators_key_without_conditions_may_everything(action):
    """No condition at all leaves the owner's reach as it is."""
    who = key_principal(access_key(), administrator(), HERE)

    assert sees(who, action, ("lamp", None, ()))
    assert who.access.reaches_network(action, 99)


def test_actions_are_compared_without_regard_to_case():
    """Keys from other installations spell the actions as they like."""
    assert from_peer(permission(actions=["GETDEVICENOTIFICATION"]))


# --- networks that a registration may name ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "entries", "reached"),
    [
        (user(1, 2), [permission()], {1, 2}),
        (user(1, 2), [permission(network_ids=[2, 3])], {2}),
        (user(1, 2), [permission(network_ids=[1]), permission(network_ids=[2])], {1, 2}),
        (user(1, 2), [permission(network_ids=[1]), permission()], {1, 2}),
        (user(1, 2), [permission(actions=["GetDevice"])], set()),
        (administrator(), [permission()], {1, 2, 3}),
        (administrator(), [permission(network_ids=[2, 3])], {2, 3}),
    ],
)
def test_a_key_may_name_its_owners_networks_that_it_lists(owner, entries, reached):
    """Which networks a key may register into: the owner's, as far as an applicable permission goes."""
    access = key_principal(access_key(*entries), owner, HERE).access

    assert {one for one in NETWORKS if access.reaches_network(KeyAction.REGISTER_DEVICE, one)} == reached


def test_a_user_may_name_the_networks_of_the_user():
    """A client registers into its own networks, an administrator anywhere."""
    client, admin = user_principal(user(1)).access, user_principal(administrator()).access

    assert client.reaches_network(KeyAction.REGISTER_DEVICE, 1)
    assert not client.reaches_network(KeyAction.REGISTER_DEVICE, 2)
    assert admin.reaches_network(KeyAction.REGISTER_DEVICE, 2)


# --- two actions at once ----------------------------------------------------------------------------------------------

pairs = st.tuples(st.sampled_from(NAMED), st.sampled_from(NAMED))


def reached(principal: Principal, pair: tuple[KeyAction, KeyAction], place: Place, peer: Peer = HERE) -> bool:
    """Whether a principal reaches a device in this place for both actions."""
    return any(clause.admits(*place) for clause in scopes_of_both(principal, *pair, peer))


@given(key=keys, owner=owners, pair=pairs, place=places)
def test_one_permission_has_to_allow_both(key, owner, pair, place):
    """What one permission allows and what another allows does not add up."""
    alone = [replace(key, permissions=(entry,)) for entry in key.permissions]
    by_one = any(all(key_sees(each, owner, action, place) for action in pair) for each in alone)

    assert by_one == reached(key_principal(key, owner, HERE), pair, place)


@given(key=keys, owner=owners, pair=pairs, place=places)
def test_both_are_never_more_than_either(key, owner, pair, place):
    """And an action with itself is that action."""
    principal = key_principal(key, owner, HERE)
    apart = [sees(principal, action, place) for action in pair]

    assert all(apart) >= reached(principal, pair, place)
    assert [reached(principal, (action, action), place) for action in pair] == apart


@given(owner=owners, pair=st.tuples(actions, actions), place=places)
def test_without_a_key_nothing_narrows_the_two(owner, pair, place):
    """A user in person reaches what the user reaches, a device itself, and nobody nothing."""
    assert owner_sees(owner, place) == reached(user_principal(owner), pair, place)
    assert (place[0] == "lamp") == reached(device_principal(device("lamp")), pair, place)
    assert not reached(ANONYMOUS, pair, place)


@pytest.mark.parametrize(("address", "inside"), [("192.0.2.1", True), ("198.51.100.1", False)])
def test_both_are_asked_of_the_same_peer(address, inside):
    """A permission for another place allows neither here."""
    office, peer = access_key(permission(subnets=["192.0.2.0/24"])), Peer(ip_address(address))
    principal = key_principal(office, administrator(), peer)

    assert inside == reached(principal, (KeyAction.GET_NETWORK, KeyAction.GET_DEVICE), ("lamp", 1, ()), peer)


# --- clauses ----------------------------------------------------------------------------------------------------------

selections = st.none() | some(NETWORKS).map(frozenset)
clauses = st.builds(Clause, selections, st.none() | some(GUIDS).map(frozenset), st.none() | some(GROUPS).map(frozenset))


@given(clause=clauses, networks=st.none() | some(NETWORKS), guids=st.none() | some(GUIDS), place=places)
def test_a_narrowed_clause_admits_what_satisfies_both(clause, networks, guids, place):
    """Narrowing is a conjunction; None stands for a clause that nothing can satisfy."""
    narrower = clause.narrowed(networks=networks, guids=guids)

    both = clause.admits(*place) and (networks is None or place[1] in networks) and (guids is None or place[0] in guids)
    assert both == (narrower is not None and narrower.admits(*place))


def test_compiling_expands_no_lists_of_devices():
    """A device that is made later is seen without compiling anything anew."""
    who = user_principal(user(1))

    assert who.access.scopes(SEE) == (Clause(networks=frozenset({1})),)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subnet", "address", "inside"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3/32", "10.1.2.3", True),
        ("10.1.0.0/16", "10.1.255.255", True),
        ("10.1.0.0/16", "10.1.0.0", True),
        ("10.1.0.0/16", "10.2.0.0", False),
        ("10.1.2.3/16", "10.1.9.9", True),
        (" 10.1.0.0/16 ", "10.1.9.9", True),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("2001:db8::1", "2001:db8::1", True),
        ("2001:db8::1", "2001:0db8:0:0::1", True),
        ("::/0", "2001:db8::1", True),
        ("::/0", "10.1.2.3", False),
        ("10.1.0.0/16", "::ffff:10.1.9.9", True),
        ("::ffff:10.1.0.0/112", "10.1.9.9", True),
        ("::ffff:10.1.0.0/112", "::ffff:10.1.9.9", True),
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("::ffff:0:0/96", "203.0.113.9", True),
        ("::ffff:10.1.2.3", "10.1.2.4", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("10.1.2.3/33", "10.1.2.3", False),
        ("10.1.2", "10.1.2.3", False),
        ("10.1.2.3/-1", "10.1.2.3", False),
        ("localhost", "127.0.0.1", False),
        ("*", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("\0", "127.0.0.1", False),
    ],
)
def test_subnets(subnet, address, inside):
    """Ordinary CIDR for both families, mapped addresses are IPv4, and what is no subnet contains nothing."""
    assert from_peer(permission(subnets=[subnet]), address) == inside


def test_any_of_several_subnets_suffices():
    """The entries of a list are alternatives, whatever nonsense stands beside them."""
    assert from_peer(permission(subnets=["nonsense", "::1", "10.0.0.0/8"]), "10.1.2.3")


def test_an_unknown_address_is_in_no_subnet():
    """Who cannot say where it comes from does not pass a condition on that."""
    assert not from_peer(permission(subnets=["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1:80", "None"),
        ("hub.example.com", "None"),
        ("", "None"),
    ],
)
def test_reading_an_address(text, address):
    """An IPv4 address is one however it is wrapped, a zone is no part of it, and all else is none."""
    assert str(parse_address(text)) == address


# --- origins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "origin", "covered"),
    [
        ("example.com", "http://example.com", True),
        ("example.com", "https://app.example.com", True),
        ("example.com", "https://a.b.example.com", True),
        ("example.com", "http://notexample.com", False),
        ("example.com", "http://example.com.evil.org", False),
        ("example.com", "http://example.org", False),
        ("app.example.com", "http://example.com", False),
        (".example.com", "http://example.com", True),
        (".example.com", "http://app.example.com", True),
        (".example.com", "http://notexample.com", False),
        ("EXAMPLE.com", "http://Example.COM", True),
        ("example.com", "http://example.com:8080", True),
        ("example.com:8080", "http://example.com:9090", True),
        ("http://example.com", "https://example.com", True),
        ("http://example.com:80/path", "device://example.com", True),
        ("http://.example.com", "https://app.example.com", True),
        ("example.com", "device://example.com", True),
        ("example.com.", "http://example.com", True),
        ("example.com", "http://example.com.", True),
        (" example.com ", " http://example.com ", True),
        ("example.com", "http://example.com@evil.org", False),
        ("example.com", "http://evil.org/example.com", False),
        ("example.com", "http://evil.org?.example.com", False),
        ("example.com", "http://evil.org#.example.com", False),
        ("evil.org", "http://user:secret@evil.org:1", True),
        ("localhost", "http://localhost:3000", True),
        ("10.0.0.1", "http://10.0.0.1:3000", True),
        ("[::1]", "http://[::1]:3000", True),
        ("xn--mnchen-3ya.de", "https://xn--mnchen-3ya.de", True),
        ("xn--mnchen-3ya.de", "https://www.XN--mnchen-3ya.de", True),
        ("münchen.de", "https://MÜNCHEN.de", True),
        ("münchen.de", "https://xn--mnchen-3ya.de", False),
        ("*", "http://example.com", False),
        ("", "http://example.com", False),
        (".", "http://example.com", False),
        ("http://[", "http://example.com", False),
        ("example.com", "http://[", False),
        ("example.com", "example.com", False),
        ("example.com", "null", False),
        ("null", "null", False),
        ("", "null", False),
        ("example.com", "", False),
        ("example.com", "file://", False),
    ],
)
def test_domains(domain, origin, covered):
    """An entry covers its host and what lies below it, label by label; schemes, ports and users do not count.

    Names beyond ASCII are compared as they are written: browsers send the ``xn--`` form, so that is what to list.
    """
    assert from_peer(permission(domains=[domain]), origin=origin) == covered


def test_any_of_several_domains_suffices():
    """The entries of a list are alternatives."""
    assert from_peer(permission(domains=["example.org", "example.com"]), origin="http://example.com")


def test_without_an_origin_domains_are_not_asked():
    """Devices and programs send none."""
    assert from_peer(permission(domains=["example.com"]))


@given(domain=st.text(max_size=20), origin=st.text(max_size=30), subnet=st.text(max_size=20))
def test_no_text_breaks_the_evaluation_of_a_key(domain, origin, subnet):
    """Whatever stands in a key or comes in a header, the answer is yes or no."""
    assert from_peer(permission(domains=[domain], subnets=[subnet]), "10.1.2.3", origin) in (True, False)


# --- lists that are kept as they were sent ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["domains", "subnets", "actions", "network_ids", "device_guids"])
def test_null_in_a_list_names_nothing(name):
    """It neither breaks a key nor opens it."""
    entry = permission(**{name: [None]})

    assert not from_peer(entry, "10.1.2.3", "http://example.com")


def test_null_in_a_list_names_nothing_for_two_actions_either():
    """Of a key that is asked for what two of them reach together."""
    key = access_key(permission(actions=[None]), permission(subnets=[None]), permission(device_guids=["42", None]))
    principal = key_principal(key, administrator(), HERE)

    assert scopes_of_both(principal, SEE, KeyAction.GET_DEVICE, HERE) == (Clause(guids=frozenset({"42"})),)


@pytest.mark.parametrize(
    ("members", "seen"),
    [
        ({"device_guids": [42, None]}, True),
        ({"device_guids": ["42"]}, True),
        ({"device_guids": [42.0]}, False),
        ({"network_ids": ["7", None]}, True),
        ({"network_ids": ["seven", True, 7.5, [7]]}, False),
    ],
)
def test_numbers_and_texts_of_a_list_are_taken_for_each_other(members, seen):
    """A guid may be sent as a number and an id as text; what is neither names nothing."""
    principal = key_principal(access_key(permission(**members)), administrator(), HERE)

    assert sees(principal, SEE, ("42", 7, ())) == seen


# --- who is asking ----------------------------------------------------------------------------------------------------


def test_principals_have_names():
    """Each principal has a stable text that tells it from others."""
    named = [
        user_principal(user()),
        key_principal(access_key(), user(), HERE),
        device_principal(device("lamp", id=42)),
        ANONYMOUS,
    ]

    assert [one.identity for one in named] == ["user:2", "key:7", "device:42", "anonymous"]


def test_only_nobody_is_anonymous():
    """Whoever has authenticated is not."""
    assert ANONYMOUS.is_anonymous
    assert not user_principal(user()).is_anonymous


def test_a_principal_knows_who_stands_behind_it():
    """A device principal has its device, all others that authenticate have their user."""
    lamp, alice = device("lamp"), user()

    assert device_principal(lamp).require_device() is lamp
    assert key_principal(access_key(), alice, HERE).require_user() is alice


def test_a_login_with_a_password_is_remembered_as_one():
    """Such a connection ends when the password changes; one through a key does not."""
    assert user_principal(user(), by_password=True).by_password
    assert not key_principal(access_key(), user(), HERE).by_password


@pytest.mark.parametrize(("who", "role"), [(user(), Role.CLIENT), (administrator(), Role.ADMIN)])
def test_a_users_role_is_the_principals(who, role):
    """The stored role decides."""
    assert user_principal(who).role is role


# --- who may call what ------------------------------------------------------------------------------------------------

CALLERS = {
    Role.ANONYMOUS: ANONYMOUS,
    Role.ADMIN: user_principal(administrator()),
    Role.CLIENT: user_principal(user()),
    Role.KEY: key_principal(access_key(), user(), HERE),
    Role.DEVICE: device_principal(device("lamp")),
}
EVERYBODY = set(Role)
KNOWN = EVERYBODY - {Role.ANONYMOUS}
USERS = KNOWN - {Role.DEVICE}
MAY_CALL = {
    Action.SERVER_INFO: EVERYBODY,
    Action.AUTHENTICATE: EVERYBODY,
    Action.DEVICE_GET: {Role.DEVICE},
    Action.DEVICE_SAVE: EVERYBODY,
    Action.COMMAND_INSERT: USERS,
    Action.COMMAND_UPDATE: KNOWN,
    Action.COMMAND_SUBSCRIBE: KNOWN,
    Action.COMMAND_UNSUBSCRIBE: KNOWN,
    Action.NOTIFICATION_INSERT: KNOWN,
    Action.NOTIFICATION_SUBSCRIBE: USERS,
    Action.NOTIFICATION_UNSUBSCRIBE: USERS,
    Action.COMMAND_GET: KNOWN,
    Action.COMMAND_WATCH: KNOWN,
    Action.COMMAND_RECEIVE: {Role.DEVICE, Role.KEY},
    Action.COMMAND_CANCEL: USERS,
    Action.ACCESS_EXPLAIN: EVERYBODY,
}


def refusal(action: Action, who: Principal) -> Unauthorized | None:
    """The error that a caller of an action gets; None: it may pass."""
    try:
        permit(action, who)
    except Unauthorized as error:
        return error
    return None


@pytest.mark.parametrize("action", Action)
def test_each_action_has_its_callers(action):
    """Who is of the wrong role is refused, and nobody else."""
    assert {role for role, who in CALLERS.items() if refusal(action, who) is None} == MAY_CALL[action]


@pytest.mark.parametrize(("who", "reason"), [(ANONYMOUS, "not-authenticated"), (CALLERS[Role.CLIENT], "not-permitted")])
def test_a_refusal_tells_nobody_from_somebody(who, reason):
    """The code is the same; the reason says whether authenticating would help."""
    error = refusal(Action.DEVICE_GET, who)

    assert (error.code, error.text, error.reason) == (401, "Unauthorized", reason)


@pytest.mark.parametrize("action", [action for action, rule in RULES.items() if rule.key_action is not None])
def test_a_key_may_call_what_its_permissions_name(action):
    """A key that lacks the action is refused, and told which one it lacks."""
    needed = RULES[action].key_action
    with_it = key_principal(access_key(permission(actions=[needed])), administrator(), HERE)
    without = key_principal(access_key(permission(actions=CLIENT_ACTIONS - {needed})), administrator(), HERE)

    assert refusal(action, with_it) is None
    assert refusal(action, without).detail == {"permission": needed.value}


def test_a_device_in_a_listed_network_needs_to_be_in_it_now():
    """A device without network is in none of the networks that a key lists."""
    who = key_principal(access_key(permission(network_ids=[1])), administrator(), HERE)

    assert who.access.sees(SEE, device("lamp", network=network(1)))
    assert not who.access.sees(SEE, device("lamp", network_id=None))
