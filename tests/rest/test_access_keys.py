"""Access keys over REST: shown once, and no way to more rights than one has."""

import pytest

from hub.actions.caller import Caller
from hub.actions.keys import create_key
from hub.core.access import Peer
from protocol.account_forms import CreateKey
from protocol.entities import KeyPermission
from protocol.errors import NOT_AUTHENTICATED, HubError
from protocol.names import KeyType
from tests.rest import http

TOO_MUCH = "Access key cannot grant more than it has"
OWN = "/user/current/accesskey"
MANAGES = "ManageAccessKey"


def told(response):
    """Status and message of a refusal."""
    return response.status, response.json()["message"]


def wanted(label="made", **members):
    """The body of a new key; it may manage keys unless it says otherwise."""
    return {"label": label, "permissions": [{"actions": [MANAGES]}], **members}


async def key_of(site, user_id=2, *, label="maker", **members):
    """A client with a key of these members in the store."""
    members.setdefault("permissions", [KeyPermission()])
    made = await site.change(lambda tx: tx.insert_key(user_id=user_id, label=label, **members))
    return site.client(http.key(made.secret)), made


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once(site):
    """Afterwards its beginning and asterisks, to the owner as well as to an administrator."""
    made = (await site.by_login("alice").post(OWN, wanted())).json()

    assert set(made) == {"id", "key"}
    assert len(made["key"]) == 44
    assert (await site.client(http.key(made["key"])).get(OWN)).status == 200
    for client in (site.by_login("alice"), site.admin, site.by_key("everything")):
        shown = (await client.get(f"/user/2/accesskey/{made['id']}")).json()
        assert shown["key"] == made["key"][:6] + 38 * "*"
        listed = {key["id"]: key["key"] for key in (await client.get("/user/2/accesskey")).json()}
        assert listed[made["id"]] == shown["key"]


async def test_a_readable_key_is_shown_again(start_site):
    """Where the installation wants it; keys from before stay masked."""
    site = await start_site()
    _, before = await key_of(site, label="before")
    await site.hub.stop()

    readable = await start_site(access_keys_readable=True)
    made = (await readable.by_login("alice").post(OWN, wanted())).json()

    keys = {key["id"]: key["key"] for key in (await readable.by_login("alice").get(OWN)).json()}
    assert keys[made["id"]] == made["key"]
    assert before.secret not in keys.values()


async def test_a_key_reads_no_key_that_may_more(start_site):
    """It would have those rights."""
    site = await start_site(access_keys_readable=True)
    alice = site.by_login("alice")
    less = (await alice.post(OWN, wanted("less"))).json()
    more = (await alice.post(OWN, wanted("more", permissions=[{}]))).json()
    other = (await alice.post(OWN, wanted("other"))).json()
    session = await key_of(site, type=KeyType.SESSION, expires_ms=site.hub.gateway.now_ms() + 1_000_000)

    client = site.client(http.key(less["key"]))
    keys = {key["id"]: key["key"] for key in (await client.get(OWN)).json()}
    assert (keys[less["id"]], keys[other["id"]]) == (less["key"], other["key"])
    assert keys[more["id"]] == more["key"][:6] + 38 * "*"
    assert (await client.get(f"{OWN}/{more['id']}")).json()["key"] == keys[more["id"]]
    assert session[1].secret not in keys.values()


async def test_lists_of_keys(site):
    """By label, by pattern, by type; of nobody else."""
    alice = site.by_login("alice")
    for label, type_ in (("b1", 0), ("b2", 2), ("a", 0)):
        await alice.post(OWN, wanted(label, type=type_))

    async def labels(query):
        return [key["label"] for key in (await alice.get(f"{OWN}?{query}")).json()]

    assert await labels("label=b1") == ["b1"]
    assert await labels("label=a&labelPattern=b_") == ["b1", "b2"]
    assert await labels("type=2") == ["b2"]
    assert await labels("sortField=Label&take=2") == ["a", "alices"]
    assert "everything" not in await labels("")
    assert told(await alice.get(f"{OWN}?sortField=key")) == (400, "Invalid request parameters")


# --- making and changing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (http.NOTHING, (400, "Invalid request parameters")),
        ({}, (400, "Label is required!")),
        ({"label": None, "permissions": 5}, (400, "Label is required!")),
        ({"label": "alices", "permissions": 5}, (403, "Access key with this label already exists")),
        ({"label": "x"}, (400, "Invalid request parameters")),
        ({"label": "x", "permissions": None}, (400, "Invalid request parameters")),
        ({"label": "x", "permissions": [{"networkIds": 5}]}, (400, "JSON array expected!")),
        ({"label": "x", "permissions": [{"actions": ["fly"]}]}, (400, "Unknown action!")),
        ({"label": "x" * 65, "permissions": []}, (400, "Field cannot be empty. The length of label should not be "
                                                       "more than 64 symbols.")),
        ({"label": "x", "permissions": [], "type": 3}, (400, "Invalid request parameters")),
    ],
)  # fmt: skip
async def test_a_key_that_cannot_be_is_refused(site, body, refusal):
    """The label first."""
    assert told(await site.by_login("alice").post(OWN, body)) == refusal


async def test_a_key_changes_in_what_is_given(site):
    """The key itself, and what is absent, stay."""
    alice = site.by_login("alice")
    body = wanted(permissions=[{"deviceGuids": [5, None], "networkIds": ["1"]}], expirationDate="2035-01-01")
    made = (await alice.post(OWN, body)).json()
    path = f"{OWN}/{made['id']}"

    assert (await alice.put(path)).status == 204
    assert (await alice.put(path, {"label": "renamed", "expirationDate": ""})).status == 204

    shown = (await alice.get(path)).json()
    assert (shown["label"], shown["expirationDate"], shown["type"]) == ("renamed", "2035-01-01T00:00:00.000", 0)
    assert shown["permissions"] == [
        {"domains": None, "subnets": None, "actions": None, "networkIds": ["1"], "deviceGuids": [5, None]}
    ]
    await alice.put(path, {"expirationDate": None, "permissions": [{}, {"domains": []}], "type": 2})
    shown = (await alice.get(path)).json()
    assert (shown["expirationDate"], shown["type"], len(shown["permissions"])) == (None, 2, 2)


@pytest.mark.parametrize("body", [{"label": None}, {"label": ""}, {"permissions": None}, {"type": None}])
async def test_a_change_that_cannot_be_changes_nothing(site, body):
    """Also in what else it asks for."""
    alice = site.by_login("alice")
    [before] = (await alice.get(f"{OWN}?label=alices")).json()

    assert (await alice.put(f"{OWN}/{before['id']}", {"expirationDate": 5, **body})).status == 400
    assert (await alice.get(f"{OWN}/{before['id']}")).json() == before


async def test_a_key_of_somebody_else_is_not_there(site):
    """By its number under one's own name; and it is not deleted either."""
    [everything] = (await site.admin.get(OWN)).json()[:1]
    alice = site.by_login("alice")
    path = f"{OWN}/{everything['id']}"

    assert told(await alice.get(path)) == (404, "Access key not found.")
    assert told(await alice.put(path, {"label": "mine"})) == (404, "Access key not found")
    assert (await alice.delete(path)).status == 204
    assert (await site.by_key("everything").get("/user/current")).status == 200


@pytest.mark.parametrize("named", ["current", "CURRENT", "2", "+2"])
async def test_oneself_has_several_names(site, named):
    """A word in any case, or the number."""
    assert (await site.by_key("alices").get(f"/user/{named}/accesskey")).status == 200


async def test_only_administrators_deal_with_keys_of_others(site):
    """For anybody else they are as absent as nobody's."""
    for client in (site.by_login("bob"), site.by_key("alices")):
        assert told(await client.get("/user/1/accesskey")) == (401, "Unauthorized")
        assert told(await client.post("/user/99/accesskey", wanted())) == (401, "Unauthorized")
    assert (await site.by_key("everything").post("/user/2/accesskey", wanted())).status == 201
    assert told(await site.admin.get("/user/1.5/accesskey")) == (400, "Bad user identifier : 1.5")


# --- attenuation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"permissions": [{}]},
        {"permissions": [{"actions": [MANAGES, "GetDevice"]}]},
        {"permissions": [{"actions": [MANAGES]}, {"actions": ["GetDevice"], "networkIds": []}]},
        {"expirationDate": "2035-01-01T00:00:00.001"},
        {"expirationDate": None},
        {"type": 1},
    ],
)
async def test_a_key_makes_no_key_that_may_more(site, members):
    """Neither more actions, nor a longer life, nor a login, which may make any key."""
    ends = {"expires_ms": 2_051_222_400_000}  # 2035-01-01
    maker, _ = await key_of(site, permissions=[KeyPermission(actions=(MANAGES,))], **ends)
    lesser = wanted(expirationDate="2035-01-01")

    assert told(await maker.post(OWN, lesser | members)) == (403, TOO_MUCH)
    made = await maker.post(OWN, lesser)
    assert made.status == 201
    assert told(await maker.put(f"{OWN}/{made.json()['id']}", members)) == (403, TOO_MUCH)


async def test_a_key_does_not_widen_itself(site):
    """Nor does it touch a key that may more, not even to take something away from it."""
    maker, made = await key_of(site, permissions=[KeyPermission(actions=(MANAGES,))])
    [alices] = (await site.by_login("alice").get(f"{OWN}?label=alices")).json()

    assert told(await maker.put(f"{OWN}/{made.key.id}", {"permissions": [{}]})) == (403, TOO_MUCH)
    narrower = {"permissions": [{"actions": [MANAGES]}]}
    assert told(await maker.put(f"{OWN}/{alices['id']}", narrower)) == (403, TOO_MUCH)
    assert (await maker.put(f"{OWN}/{made.key.id}", {"label": "renamed"})).status == 204


async def test_a_key_that_an_oauth_client_has_is_bounded_as_well(site):
    """Only a login is free: with a password, or with the session key that it gave."""
    granted, _ = await key_of(site, permissions=[KeyPermission(actions=(MANAGES,))], type=KeyType.OAUTH)
    ends_ms = site.hub.gateway.now_ms() + 1_000_000
    session, _ = await key_of(
        site, label="s", permissions=[KeyPermission(actions=(MANAGES,))], type=KeyType.SESSION, expires_ms=ends_ms
    )

    assert told(await granted.post(OWN, wanted(permissions=[{}]))) == (403, TOO_MUCH)
    assert (await session.post(OWN, wanted("1", permissions=[{}]))).status == 201
    assert (await site.by_login("alice").post(OWN, wanted("2", permissions=[{}]))).status == 201


async def test_what_a_key_lost_meanwhile_it_cannot_pass_on(site):
    """Its rights are those of the moment in which it makes another."""
    principal = await site.hub.gateway.logins.by_key(site.secrets["alices"], Peer())
    await site.hub.gateway.transact(lambda tx, _: tx.delete_key(principal.key.id))

    ask = CreateKey(user="current", label="x", permissions=[{}])
    with pytest.raises(HubError) as caught:
        await create_key(site.hub.gateway, Caller(principal), ask)

    assert caught.value.problem is NOT_AUTHENTICATED


@pytest.mark.parametrize("chosen", [{"keys_attenuate": False}, {"compat": "devicehive"}])
async def test_an_installation_may_let_keys_make_any_key(start_site, chosen):
    """As DeviceHive did."""
    site = await start_site(**chosen)
    maker, _ = await key_of(site, permissions=[KeyPermission(actions=(MANAGES,))])

    assert (await maker.post(OWN, wanted(permissions=[{}], type=1))).status == 201
