"""OAuth 2 over REST: what the examples do not say about clients, grants and tokens."""

import asyncio

import pytest

from hub.store import Listing
from protocol.entities import KeyPermission
from protocol.names import KeyType, UserStatus
from tests.core.test_grants import CHALLENGE, VERIFIER
from tests.gateway.inside import take_clock
from tests.rest import http
from tests.rest.http import FORM
from tests.rest.test_access_keys import key_of, told

APP = {"name": "App", "domain": "app.com", "redirectUri": "https://app.com/cb", "oauthId": "app"}
GRANTS = "/user/current/oauth/grant"
WANTED = {"client": {"oauthId": "app"}, "type": "Code", "redirectUri": "https://app.com/cb", "scope": "GetNetwork"}
TOO_MUCH = (403, "Access key cannot grant more than it has")
NO_CODE = (401, "Invalid or empty authorization code")


@pytest.fixture
async def secret(site):
    """The secret of an OAuth client that is there."""
    return (await site.admin.post("/oauth/client", APP)).json()["oauthSecret"]


@pytest.fixture
def app(site, secret):
    """The OAuth client itself."""
    return site.client(http.user("app", secret))


@pytest.fixture
def alice(site, app):
    return site.by_login("alice")


async def token(client, **fields):
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    return await client.post("/oauth2/token", body, media=FORM)


async def exchange(client, code, **more):
    return await token(client, grant_type="authorization_code", code=code, **more)


async def by_password(client, **more):
    fields = {"grant_type": "password", "username": "alice", "password": "alice-pw", "scope": "GetNetwork"}
    return await token(client, **{**fields, **more})


async def grant(client, **members):
    """What comes of a new grant of whoever asks."""
    made = await client.post(GRANTS, {**WANTED, **members})
    assert made.status == 201, made
    return made.json()


# --- from a code to a key ---------------------------------------------------------------------------------------------


async def test_a_code_becomes_a_key_that_works(site, app, alice):
    """Shown at the exchange and never again; its domain counts for pages."""
    made = await grant(alice)

    got = (await exchange(app, made["authCode"])).json()

    assert (got["token_type"], 590 <= got["expires_in"] <= 600) == ("Bearer", True)
    key = http.key(got["access_token"])
    assert [one["name"] for one in (await site.client(key).get("/network")).json()] == ["home"]
    assert (await site.client((*key, ("Origin", "https://app.com"))).get("/network")).status == 200
    assert (await site.client((*key, ("Origin", "https://evil.org"))).get("/network")).status == 401
    assert (await site.client(key).get("/device")).status == 401
    shown = (await alice.get(f"{GRANTS}/{made['id']}")).json()
    assert (shown["authCode"], shown["accessKey"]["key"]) == (None, f"{got['access_token'][:6]:*<44}")


async def test_of_many_that_exchange_a_code_one_gets_a_key(app, alice):
    """At the same time; to the others it is as unknown as any."""
    code = (await grant(alice))["authCode"]

    answers = await asyncio.gather(*(exchange(app, code) for _ in range(8)))

    assert sorted(one.status for one in answers) == [200] + [401] * 7
    assert {told(one) for one in answers if one.status == 401} == {NO_CODE}


async def test_a_code_is_its_clients_alone(site, app, alice):
    """Not another client's, by its name or by its secret; trying costs it nothing."""
    other = (await site.admin.post("/oauth/client", {**APP, "oauthId": "other"})).json()["oauthSecret"]
    code = (await grant(alice))["authCode"]

    assert told(await exchange(site.client(http.user("other", other)), code)) == NO_CODE
    assert told(await exchange(site.nobody, code, client_id="other")) == NO_CODE
    assert told(await exchange(app, code, redirect_uri="https://app.com/other")) == (401, 'Invalid "redirect_uri"')
    assert (await exchange(app, code, redirect_uri="https://app.com/cb")).status == 200


async def test_a_code_is_good_for_ten_minutes(site, app, alice):
    """Then it has expired; an hour later nobody knows it any more."""
    clock = take_clock(site.hub.gateway)
    first, second = [(await grant(alice))["authCode"] for _ in range(2)]
    clock.forward(600)
    assert (await exchange(app, first)).status == 200
    clock.forward(0.001)

    assert told(await exchange(app, second)) == (401, "Expired grant")
    await site.hub.gateway.duties.forget_codes()
    assert told(await exchange(app, second)) == (401, "Expired grant")
    clock.forward(3_600)
    await site.hub.gateway.duties.forget_codes()
    assert told(await exchange(app, second)) == NO_CODE
    assert site.hub.gateway.duties.codes_forgotten == 1


async def test_a_code_of_a_user_who_is_locked_out_is_nobodys(site, app, alice):
    """Its key would be refused; it is as good as before when its user is let in again in time."""
    code = (await grant(alice))["authCode"]
    await site.admin.put("/user/2", {"status": int(UserStatus.LOCKED_OUT)})

    assert told(await exchange(app, code)) == NO_CODE

    await site.admin.put("/user/2", {"status": int(UserStatus.ACTIVE)})
    assert (await exchange(app, code)).status == 200


async def test_a_code_goes_to_whoever_asked_for_it(app, alice):
    """Who has only seen the code gets nothing for it, and costs it nothing; the next has a challenge of its own."""
    made = await grant(alice, codeChallenge=CHALLENGE)

    assert told(await exchange(app, made["authCode"])) == NO_CODE
    assert told(await exchange(app, made["authCode"], code_verifier=VERIFIER[:-1])) == NO_CODE
    assert (await exchange(app, made["authCode"], code_verifier=VERIFIER)).status == 200

    plain = (await alice.put(f"{GRANTS}/{made['id']}", {})).json()["authCode"]
    assert told(await exchange(app, plain, code_verifier=VERIFIER)) == NO_CODE
    assert (await exchange(app, plain)).status == 200


async def test_a_renewed_grant_has_another_code_also_after_an_exchange(app, alice):
    """The authorization page renews the grant of a user who comes again."""
    made = await grant(alice)
    await exchange(app, made["authCode"])

    renewed = (await alice.put(f"{GRANTS}/{made['id']}", {})).json()

    assert (renewed["id"], renewed["authCode"] != made["authCode"]) == (made["id"], True)
    assert (await exchange(app, renewed["authCode"])).status == 200


async def test_a_socket_ends_when_its_key_gets_another_secret(site, app, alice):
    """What it has shown is worth nothing any more."""
    made = await grant(alice, type="Token", accessType="Offline", scope="GetDeviceNotification")
    socket = await site.connect()
    await socket.succeed("authenticate", accessKey=made["accessKey"]["key"])

    renewed = (await alice.put(f"{GRANTS}/{made['id']}", {})).json()

    assert await socket.closed() == 4401
    assert (await site.client(http.key(made["accessKey"]["key"])).get("/info")).status == 401
    assert (await site.client(http.key(renewed["accessKey"]["key"])).get("/info")).status == 200


async def test_a_change_of_type_changes_what_is_shown(app, alice):
    """A grant of type Token has no code; a grant by password is made by its client only."""
    made = await grant(alice)
    path = f"{GRANTS}/{made['id']}"

    assert set((await alice.put(path, {"type": "Token", "accessType": "Offline"})).json()) == {
        "id",
        "timestamp",
        "accessKey",
    }
    shown = (await alice.get(path)).json()
    assert (shown["authCode"], shown["accessKey"]["expirationDate"]) == (None, None)
    assert told(await exchange(app, made["authCode"])) == NO_CODE
    assert (await alice.put(path, {"type": "Password"})).status == 400
    for body, text in [({"client": None}, "Client cannot be null!"), ({"scope": "Fly"}, "Unknown action!")]:
        assert told(await alice.put(path, body)) == (400, text)
    for body in ({"type": None}, {"accessType": None}, {"scope": None}, {"redirectUri": ""}, {"networkIds": 1}):
        assert (await alice.put(path, body)).status == 400, body


async def test_a_change_of_client_goes_by_its_name(site, app, alice):
    """As DeviceHive has it."""
    await site.admin.post("/oauth/client", {**APP, "name": "Other", "oauthId": "other", "domain": "other.com"})
    path = f"{GRANTS}/{(await grant(alice))['id']}"

    assert (await alice.put(path, {"client": {"name": "Other"}})).status == 200
    assert (await alice.put(path, {"client": {"name": "Nobody"}})).status == 400
    assert (await alice.put(path, {"client": {}})).status == 200

    shown = (await alice.get(path)).json()
    assert (shown["client"]["oauthId"], shown["accessKey"]["permissions"][0]["domains"]) == ("other", ["other.com"])


@pytest.mark.parametrize(
    "member",
    [
        {"client": {"oauthId": "nobody"}},
        {"client": {}},
        {"networkIds": "x"},
        {"networkIds": [None]},
        {"networkIds": list(range(100))},
        {"scope": " "},
        {"scope": "x" * 129},
        {"redirectUri": "x" * 129},
        {"accessType": "online"},
    ],
)
async def test_a_grant_that_cannot_be_is_refused(alice, member):
    """Unknown clients, lists that are none, what is too long."""
    assert (await alice.post(GRANTS, {**WANTED, **member})).status == 400
    assert (await alice.get(GRANTS)).json() == []


# --- who may see and grant what ---------------------------------------------------------------------------------------


async def test_a_key_grants_no_more_than_it_has(site, app, alice):
    """Neither rights nor time; what is to be changed counts as well."""
    narrow, _ = await key_of(site, permissions=[KeyPermission(actions=("ManageOAuthGrant", "GetNetwork"))])
    brief, _ = await key_of(site, label="brief", expires_ms=site.hub.gateway.now_ms() + 60_000)
    made = await grant(alice, scope="GetDevice")

    assert (await narrow.post(GRANTS, WANTED)).status == 201
    assert told(await narrow.post(GRANTS, {**WANTED, "scope": "GetDevice"})) == TOO_MUCH
    assert told(await narrow.put(f"{GRANTS}/{made['id']}", {"scope": "GetNetwork"})) == TOO_MUCH
    assert told(await brief.post(GRANTS, WANTED)) == TOO_MUCH


async def test_a_key_sees_no_code_that_it_could_exchange_for_more(site, app, alice):
    """Otherwise reading one would be a way to more rights."""
    made = await grant(alice, scope="GetDevice")
    narrow, _ = await key_of(site, permissions=[KeyPermission(actions=("ManageOAuthGrant", "GetNetwork"))])
    wide, _ = await key_of(site, label="wide")

    codes = [(await one.get(GRANTS)).json()[0]["authCode"] for one in (narrow, wide, alice)]

    assert codes == [None, made["authCode"], made["authCode"]]


async def test_secrets_of_clients_are_for_administrators_in_person(site, app, alice):
    """Or with the key of a login, in the list of grants; not with a key of theirs for something else."""
    await grant(alice)
    limited, _ = await key_of(site, 1)
    session, _ = await key_of(site, 1, label="session", type=KeyType.SESSION)

    def secret_in(response):
        return "oauthSecret" in response.body.decode()

    for client, in_clients, in_grants in ((site.admin, True, True), (limited, False, False), (session, False, True)):
        assert secret_in(await client.get("/oauth/client")) is in_clients
        assert secret_in(await client.get(GRANTS)) is in_grants
    assert not secret_in(await site.admin.get("/user/2/oauth/grant"))


async def test_a_client_by_basic_is_nobody_elsewhere(site, app):
    """It may ask what everybody may; a user with its id as login goes first."""
    assert (await app.get("/info")).status == 200
    assert told(await app.get("/user/current")) == (401, "Unauthorized")
    assert (await site.client(http.user("app", "wrong")).get("/info")).status == 401

    await site.admin.post("/user", {"login": "app", "role": 1, "status": 0, "password": "its-own"})

    assert (await app.get("/info")).status == 401
    assert (await site.client(http.user("app", "its-own")).get("/user/current")).status == 200


async def test_a_client_is_not_slowed_down_by_others_who_guess(site, secret):
    """Its secret is no password that could be guessed."""
    for _ in range(7):
        assert (await site.client(http.user("app", "guess")).get("/info")).status == 401

    assert (await site.client(http.user("app", secret)).get("/info")).status == 200


async def test_who_is_slowed_down_is_looked_up_no_more_than_who_is_nobody(site, monkeypatch):
    """Else the time of an answer would tell which logins there are; a user goes before a client of the same name."""
    await site.admin.post("/user", {"login": "app", "role": 1, "status": 0, "password": "its-own"})
    secret = (await site.admin.post("/oauth/client", APP)).json()["oauthSecret"]
    for login in ("app", "alice", "nobody"):
        for _ in range(6):
            await site.client(http.user(login, "guess")).get("/info")
    asked = []
    for name in ("find_login", "consult"):
        monkeypatch.setattr(site.hub.store, name, noted(asked, name, getattr(site.hub.store, name)))

    by_login = {}
    for login in ("alice", "nobody"):
        assert (await site.client(http.user(login, "guess")).get("/info")).status == 401
        by_login[login], asked[:] = list(asked), []

    assert by_login["alice"] == by_login["nobody"] == ["consult"]
    assert (await site.client(http.user("app", secret)).get("/info")).status == 401


def noted(asked, name, work):
    async def ask(*args, **options):
        asked.append(name)
        return await work(*args, **options)

    return ask


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**APP, "id": 5}, "Invalid request parameters. Id cannot be specified."),
        ({**APP, "name": ""}, "The length of name should not be more than 128 symbols."),
        ({**APP, "redirectUri": "x" * 129}, "The length of redirect URI should not be more than 128 symbols."),
        ({**APP, "oauthId": "x" * 33}, "The length of oauthId should not be more than 128 symbols."),
        ({**APP, "domain": None}, "domain field cannot be null."),
    ],
)
async def test_a_client_keeps_the_rules(site, body, message):
    """In DeviceHive's words."""
    refusal = await site.admin.post("/oauth/client", body)

    assert (refusal.status, message in refusal.json()["message"]) == (400, True)


async def test_a_client_is_changed_and_deleted(site, secret, alice):
    """Its secret stays; with the client go its grants, their keys, and whoever is connected with one."""
    key = (await grant(alice, type="Token", accessType="Offline"))["accessKey"]["key"]
    socket = await site.connect()
    await socket.succeed("authenticate", accessKey=key)
    [shown] = (await site.nobody.get("/oauth/client?namePattern=A%25&name=ignored&sortField=oauthid")).json()
    path = f"/oauth/client/{shown['id']}"
    assert (await site.admin.put(path, {"name": "New", "subnet": ""})).status == 204
    assert (await site.admin.put(path)).status == 204
    assert (await site.admin.put(path, {"oauthId": "app"})).status == 204

    assert (await site.admin.get(path)).json()["oauthSecret"] == secret
    assert (await site.admin.delete(path)).status == 204
    assert (await alice.get(GRANTS)).json() == []
    assert await socket.closed() == 4401
    assert (await site.client(http.key(key)).get("/network")).status == 401


# --- with a password --------------------------------------------------------------------------------------------------


async def test_a_password_grant_is_used_again(site, app):
    """For the same user, client and scope it is one grant, with another key each time."""
    first, second = [(await by_password(app)).json()["access_token"] for _ in range(2)]
    other = (await by_password(app, scope="GetDevice")).json()["access_token"]

    statuses = [(await site.client(http.key(one)).get("/info")).status for one in (first, second, other)]
    assert statuses == [401, 200, 200]
    shown = (await site.by_login("alice").get(f"{GRANTS}?type=Password")).json()
    assert [one["scope"] for one in shown] == ["GetNetwork", "GetDevice"]
    assert (await site.by_login("alice").get("/user/current")).json()["lastLogin"]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"username": "nobody"}, (401, "Unauthorized")),
        ({"username": "bob", "password": "bob-pw"}, (401, "Unauthorized")),
        ({"password": "wrong"}, (403, "Invalid credentials")),
        ({"password": ""}, (403, "Invalid credentials")),
        ({"scope": ""}, (400, "Scope field is required")),
        ({"scope": "GetNetwork+Fly"}, (400, "Unknown action!")),
    ],
)
async def test_a_password_that_gives_no_key(site, app, fields, refusal):
    """Unknown and inactive users are one and the same."""
    await site.change(lambda tx: tx.update_user(3, status=UserStatus.DISABLED))

    assert told(await by_password(app, **fields)) == refusal


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda admin: admin.put("/user/2", {"password": "another-password"}),
        lambda admin: admin.put("/user/2", {"status": 2}),
        lambda admin: admin.delete("/user/2"),
        lambda admin: admin.delete("/oauth/client/1"),
    ],
)
async def test_what_ends_while_a_password_is_checked_gets_no_key(site, app, monkeypatch, meanwhile):
    """Checking takes its time; a user or a client that is another by then gets nothing for it."""
    logins = site.hub.gateway.logins
    check = logins.by_password

    async def slowly(*asked):
        who = await check(*asked)
        assert (await meanwhile(site.admin)).status == 204
        return who

    monkeypatch.setattr(logins, "by_password", slowly)

    assert (await by_password(app)).status == 401
    assert await site.change(lambda tx: tx.oauth.list_grants(Listing())) == []


async def test_guessing_passwords_is_slowed_down_for_clients_too(app):
    """The answer stays the same, and the right password does not help any more."""
    for _ in range(6):
        assert told(await by_password(app, password="wrong")) == (403, "Invalid credentials")

    assert told(await by_password(app)) == (403, "Invalid credentials")
    assert told(await by_password(app, username="nobody")) == (401, "Unauthorized")


# --- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"grant_type=",
        b"grant_type=password&grant_type=password",
        b"\xff=1",
        b"grant_type=%ff",
        b"&".join([b"a=1"] * 65),
    ],
)
async def test_a_form_that_is_none_is_refused(site, body):
    """Not UTF-8, too many fields, one of them twice, without what has to be there."""
    refusal = await site.nobody.post("/oauth2/token", body, media=FORM)

    assert (refusal.status, refusal.json()) == (400, {"error": None, "message": "Invalid request parameters"})


async def test_a_page_elsewhere_gets_no_token_with_stored_basic(site, secret):
    """A form can be sent from any page, and browsers add Basic by themselves."""
    client = site.client((*http.user("app", secret), ("Origin", "https://evil.org")))

    assert told(await by_password(client)) == (403, "Origin not allowed")
