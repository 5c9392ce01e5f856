"""Users over REST: what the examples leave open, and that the hub keeps somebody who can manage it."""

import asyncio

import pytest

from hub.actions.caller import Caller
from hub.actions.users import get_current_user
from hub.core.access import user_principal
from protocol.entities import KeyPermission
from protocol.errors import CURRENT_USER_GONE, HubError
from protocol.forms import Form
from protocol.names import KeyType
from tests.builders import user
from tests.rest import http

TAKEN = "User with such identity provider login already exists. Please, select another one"
LAST = "The last active administrator must stay"


def told(response):
    """Status and message of a refusal."""
    return response.status, response.json()["message"]


async def make(site, **members):
    """A new user's id."""
    made = await site.admin.post("/user", {"role": 1, "status": 0, **members})
    assert made.status == 201, made
    return made.json()["id"]


# --- making -----------------------------------------------------------------------------------------------------------


async def test_a_user_can_do_what_was_said_of_it(site):
    """Login trimmed, password, role and data as given."""
    user_id = await make(site, login=" carol ", password="carol-pw", data={"a": [1]}, githubLogin=" c@x ")

    me = (await site.by_login("carol").get("/user/current")).json()

    assert me == {
        "id": user_id,
        "login": "carol",
        "role": 1,
        "status": 0,
        "networks": [],
        "lastLogin": me["lastLogin"],
        "googleLogin": None,
        "facebookLogin": None,
        "githubLogin": "c@x",
        "data": {"a": [1]},
    }


@pytest.mark.parametrize("password", [{}, {"password": None}, {"password": ""}])
async def test_a_user_without_a_password_cannot_log_in_with_one(site, password):
    """Neither with an empty one nor with any other."""
    await make(site, login="robot", **password)

    for guess in ("", "robot-pw"):
        assert (await site.client(http.user("robot", guess)).get("/info")).status == 401


@pytest.mark.parametrize(
    "body", [{}, {"login": "x"}, {"login": "x", "role": 1}, {"login": "x", "status": 0}, {"role": 1, "status": 0}]
)
async def test_a_user_has_a_login_a_role_and_a_status(site, body):
    """Without one of them there is no user."""
    status, message = told(await site.admin.post("/user", body))

    assert status == 400
    assert message.startswith("Error! Validation failed: \nOn property ")


async def test_a_user_cannot_be_made_of_nothing(site):
    """No body is no object; a password longer than any is none."""
    assert told(await site.admin.post("/user")) == (400, "Invalid request parameters")
    too_long = {"login": "x", "role": 1, "status": 0, "password": "x" * 1_025}
    assert told(await site.admin.post("/user", too_long)) == (400, "Invalid request parameters")


async def test_the_login_of_a_deleted_user_stays_taken(site):
    """Nobody finds that user any more, but there it is: a conflict."""
    user_id = await make(site, login="gone", status=3)

    response = await site.admin.post("/user", {"login": "gone", "role": 1, "status": 0})

    assert response.status == 409
    assert (await site.admin.delete(f"/user/{user_id}")).status == 204
    await make(site, login="gone")


async def test_a_login_of_a_provider_belongs_to_one_user(site):
    """In any spelling; a blank one is none and may be anybody's."""
    carol = await make(site, login="carol", googleLogin="Carol@Example.com", facebookLogin=" ")

    again = {"login": "dave", "role": 1, "status": 0, "googleLogin": "carol@example.COM"}
    assert told(await site.admin.post("/user", again)) == (403, TAKEN)
    assert told(await site.admin.put("/user/2", {"googleLogin": "CAROL@example.com"})) == (403, TAKEN)
    assert (await site.admin.put(f"/user/{carol}", {"googleLogin": "carol@example.com"})).status == 204
    await make(site, login="erin", googleLogin="  ", facebookLogin="")


# --- changing ---------------------------------------------------------------------------------------------------------


async def test_what_is_absent_stays_as_it_is(site):
    """Each property on its own; null clears what may be null."""
    user_id = await make(site, login="carol", data=1, githubLogin="c@x")

    await site.admin.put(f"/user/{user_id}", {"role": 0, "status": 2})
    await site.admin.put(f"/user/{user_id}", {"login": " caroline ", "role": None, "status": None})
    await site.admin.put(f"/user/{user_id}", {"data": None, "githubLogin": None, "facebookLogin": "f@x"})

    [found] = (await site.admin.get("/user?login=caroline")).json()
    assert found == {
        "id": user_id,
        "login": "caroline",
        "role": 0,
        "status": 2,
        "lastLogin": None,
        "googleLogin": None,
        "facebookLogin": "f@x",
        "githubLogin": None,
        "data": None,
    }


async def test_an_empty_body_changes_nothing(site):
    """Of a user that is there."""
    assert (await site.admin.put("/user/2")).status == 204
    assert (await site.by_login("alice").put("/user/current")).status == 204
    assert (await site.by_login("alice").put("/user/current", {})).status == 204


async def test_a_client_changes_the_own_login_and_data(site):
    """And is somebody else from then on."""
    changed = await site.by_login("alice").put("/user/current", {"login": "ally", "data": "x", "googleLogin": "a@x"})

    assert changed.status == 204
    me = (await site.client(http.user("ally", "alice-pw")).get("/user/current")).json()
    assert (me["login"], me["data"], me["googleLogin"]) == ("ally", "x", "a@x")
    assert (await site.by_login("alice").get("/user/current")).status == 401


async def test_refusals_come_in_their_order(site):
    """Login, then the old password, then the new one, then the role, then the rules; and nothing has changed."""
    bad = {"login": "bob", "password": "", "role": 0, "googleLogin": "x" * 65}
    alice = site.by_login("alice")
    expected = [
        ({}, (403, "User with such login already exists. Please, select another one")),
        ({"login": "alice"}, (403, "Old password is required!")),
        ({"oldPassword": " "}, (403, "Old password is required!")),
        ({"oldPassword": "wrong"}, (403, "Invalid credentials")),
        ({"oldPassword": "alice-pw"}, (400, "Password is required!")),
        ({"password": "new"}, (403, "Invalid user role")),
    ]
    for change, refusal in expected:
        bad |= change
        assert told(await alice.put("/user/current", bad)) == refusal
    del bad["role"]

    assert (await alice.put("/user/current", bad)).status == 400
    assert (await alice.get("/user/current")).status == 200


async def test_an_administrator_needs_no_old_password_but_a_right_one(site):
    """Of oneself or of others: what is sent has to match."""
    assert told(await site.admin.put("/user/2", {"password": "n", "oldPassword": "x"})) == (403, "Invalid credentials")
    assert told(await site.admin.put("/user/1", {"password": None})) == (400, "Password is required!")
    assert (await site.admin.put("/user/2", {"password": "n", "oldPassword": "alice-pw"})).status == 204
    assert (await site.admin.put("/user/current", {"password": "m"})).status == 204

    assert (await site.client(http.user("alice", "n")).get("/user/current")).status == 200
    assert (await site.client(http.user("admin", "m")).get("/user/current")).status == 200
    assert (await site.admin.get("/user/current")).status == 401


async def test_guesses_of_the_old_password_are_slowed_down(start_site):
    """Whoever has found a key must not find the password with it: after a few guesses the right one waits as well."""
    site = await start_site(rest_requests_per_s=0.0, failed_logins_per_minute=3)
    key = site.by_key("alices")

    for guess in ("1", "2", "3"):
        await key.put("/user/current", {"password": "mine", "oldPassword": guess})

    again = await key.put("/user/current", {"password": "mine", "oldPassword": "alice-pw"})
    assert told(again) == (403, "Invalid credentials")
    assert (await site.hub.store.find_login("alice")).login_attempts == 0


async def session(site, login):
    """A client with a session key of a user."""
    body = {"providerName": "password", "login": login, "password": f"{login}-pw"}
    made = await site.nobody.post("/auth/accesskey", body)
    return site.client(http.key(made.json()["key"]))


async def test_a_new_password_ends_the_other_logins(site):
    """Session keys and sockets that came in with the old one; the key that changed it, and keys of programs, stay."""
    changing, other = await session(site, "alice"), await session(site, "alice")
    socket = await site.user("alice")

    changed = await changing.put("/user/current", {"password": "new", "oldPassword": "alice-pw"})

    assert changed.status == 204
    assert await socket.closed() == 4401
    assert (await other.get("/user/current")).status == 401
    assert (await changing.get("/user/current")).status == 200
    assert (await site.by_key("alices").get("/user/current")).status == 200


async def test_two_who_change_a_password_at_once_do_not_both_succeed(site):
    """The old password of the second is no longer right when its turn comes."""
    alice = site.by_login("alice")
    await alice.get("/user/current")

    bodies = [{"password": f"new-{number}", "oldPassword": "alice-pw"} for number in range(6)]
    answers = await asyncio.gather(*(site.by_key("alices").put("/user/current", body) for body in bodies))

    assert [answer.status for answer in answers].count(204) == 1
    assert {answer.status for answer in answers} <= {204, 403, 409}


# --- the last administrator -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/user/1", http.NOTHING),
        ("PUT", "/user/1", {"role": 1}),
        ("PUT", "/user/1", {"status": 2, "login": "other"}),
        ("PUT", "/user/current", {"status": 3}),
        ("PUT", "/user/current", {"role": 1, "status": 0}),
    ],
)
async def test_the_last_active_administrator_stays(site, method, path, body):
    """Whoever is left could not manage the hub. Nothing of the request has happened."""
    await make(site, login="locked", role=0, status=1)

    assert told(await site.admin.ask(method, path, body)) == (403, LAST)
    me = (await site.admin.get("/user/current")).json()
    assert (me["login"], me["role"], me["status"]) == ("admin", 0, 0)


async def test_with_another_administrator_anyone_may_go(site):
    """Also oneself, at once and for good."""
    await make(site, login="carol", password="carol-pw", role=0)

    assert (await site.admin.delete("/user/1")).status == 204

    assert (await site.admin.get("/user/current")).status == 401
    assert (await site.by_key("everything").get("/user/current")).status == 401
    assert told(await site.by_login("carol").put("/user/current", {"role": 1})) == (403, LAST)


async def test_of_two_administrators_who_go_at_once_one_stays(site):
    """Neither has seen the other go."""
    carol = await make(site, login="carol", password="carol-pw", role=0)
    clients = {1: site.admin, carol: site.by_login("carol")}
    await asyncio.gather(*(client.get("/user/current") for client in clients.values()))

    answers = await asyncio.gather(
        *(client.put(f"/user/{user_id}", {"role": 1}) for user_id, client in clients.items())
    )

    assert sorted(answer.status for answer in answers) in ([204, 401], [204, 403])


# --- looking ----------------------------------------------------------------------------------------------------------


async def test_users_are_found_by_role_and_status(site):
    """Deleted ones, too; a pattern makes the login be ignored; pages go by their order."""
    await make(site, login="dora", role=0, status=3)

    async def logins(query):
        return [user["login"] for user in (await site.admin.get(f"/user?{query}")).json()]

    assert await logins("") == ["admin", "alice", "bob", "dora"]
    assert await logins("role=0") == ["admin", "dora"]
    assert await logins("role=0&status=3") == ["dora"]
    assert await logins("role=7") == []
    assert await logins("login=bob&loginPattern=a%25") == ["admin", "alice"]
    assert await logins("sortField=login&sortOrder=DESC&skip=1&take=2") == ["bob", "alice"]
    assert await logins("take=0") == []


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("take=-1", (400, "Invalid request parameters")),
        ("role=admin", (404, "HTTP 404 Not Found")),
        ("sortField=nothing&sortOrder=up", (400, "Unparseable sort order : up")),
    ],
)
async def test_a_list_that_nobody_can_make_is_refused(site, query, refusal):
    """The order before the field."""
    assert told(await site.admin.get(f"/user?{query}")) == refusal


async def test_whoever_was_deleted_meanwhile_is_told_so(site):
    """Authenticated from memory, and gone: the own user cannot be had."""
    with pytest.raises(HubError) as caught:
        await get_current_user(site.hub.gateway, Caller(user_principal(user(id=99))), Form())

    assert caught.value.problem is CURRENT_USER_GONE


async def test_there_is_no_deleting_of_current(site):
    """By that name one may only look and change."""
    assert (await site.admin.delete("/user/current")).status == 405


# --- memberships ------------------------------------------------------------------------------------------------------


async def test_a_membership_counts_at_once(site):
    """For whoever became a member, by login and by key."""
    alice = site.by_key("alices")
    assert [one["id"] for one in (await alice.get("/user/current")).json()["networks"]] == [1]

    assert (await site.admin.put("/user/2/network/2")).status == 204
    assert (await site.admin.put("/user/2/network/2", {"anything": 1})).status == 204
    assert [one["id"] for one in (await alice.get("/user/current")).json()["networks"]] == [1, 2]
    assert (await alice.get("/user/2/network/2")).json() == {
        "network": {"id": 2, "key": "away-key", "name": "away", "description": None}
    }

    assert (await site.admin.delete("/user/2/network/2")).status == 204
    assert (await site.admin.delete("/user/2/network/2")).status == 204
    assert (await site.admin.delete("/user/2/network/99")).status == 204
    assert (await alice.get("/user/2/network/2")).status == 404


async def test_memberships_of_nobody_are_not_found(site):
    """And current is nobody's number."""
    for method in ("GET", "PUT", "DELETE"):
        assert told(await site.admin.ask(method, "/user/99/network/1")) == (404, "User not found")
        assert told(await site.admin.ask(method, "/user/current/network/1")) == (404, "HTTP 404 Not Found")


async def key_with(site, user_id, *permissions):
    """A client with a key of these permissions."""
    made = await site.change(
        lambda tx: tx.insert_key(user_id=user_id, label="x", permissions=permissions, type=KeyType.DEFAULT)
    )
    return site.client(http.key(made.secret))


async def test_a_key_deals_with_its_networks_only(site):
    """What it does not list is as if it were not there."""
    only_home = await key_with(site, 1, KeyPermission(network_ids=(1,)))
    await site.admin.put("/user/2/network/2")

    assert (await only_home.get("/user/2/network/1")).status == 200
    assert (await only_home.get("/user/2/network/2")).status == 404
    assert told(await only_home.put("/user/3/network/2")) == (404, "Network with id = 2 not found")
    assert (await only_home.delete("/user/2/network/2")).status == 204
    assert (await site.admin.get("/user/2/network/2")).status == 200


async def test_a_clients_key_sees_its_owner_only(site):
    """Of others it hears the same whether they are there or not."""
    alice = site.by_key("alices")

    for path in ("/user/1", "/user/99", "/user/3/network/2", "/user/99/network/1"):
        assert told(await alice.get(path)) == (403, "User not found")
    assert (await site.by_key("everything").get("/user/2")).status == 200
