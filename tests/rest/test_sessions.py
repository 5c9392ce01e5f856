"""Login and logout over REST."""

import pytest

from protocol.errors import PROVIDER_UNREACHABLE
from protocol.names import Provider, UserStatus
from tests.gateway.inside import take_clock
from tests.rest import http

LOGIN = "/auth/accesskey"


def told(response):
    """Status and message of a refusal."""
    return response.status, response.json()["message"]


async def log_in(site, login="alice", password=None, **headers):
    body = {"providerName": "Password", "login": login, "password": password or f"{login}-pw"}
    return await site.nobody.post(LOGIN, body, headers=headers.items())


async def enable(site, provider):
    """Let an administrator enable an identity provider."""
    assert (await site.admin.put(f"/configuration/{provider}.identity.allowed", b"true")).status == 200


# --- with a password --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("login", "is_admin"), [("alice", False), ("admin", True)])
async def test_a_login_is_exchanged_for_a_key_of_its_user(site, login, is_admin):
    """It may what the user may, for as long as a session lasts."""
    made = await log_in(site, login)
    client = site.client(http.key(made.json()["key"]))

    assert (made.status, set(made.json())) == (200, {"id", "key"})
    shown = (await client.get(f"/user/current/accesskey/{made.json()['id']}")).json()
    assert shown["type"] == 1
    assert shown["label"].startswith(f"OAuth token for: {login}(")
    [permission] = shown["permissions"]
    assert {name for name, values in permission.items() if values is not None} == (set() if is_admin else {"actions"})
    assert (await client.get("/user")).status == (200 if is_admin else 401)
    assert "key" not in (await client.get("/user/current")).json()


async def test_a_login_is_not_trimmed(site):
    """Unlike in Basic."""
    assert told(await log_in(site, " alice", "alice-pw")) == (401, "Unauthorized")
    assert told(await log_in(site, "alice", " alice-pw")) == (401, "Unauthorized")
    assert (await site.client(http.user(" alice ", " alice-pw ")).get("/user/current")).status == 200


async def test_a_refused_login_says_how_to_authenticate(site):
    """By Basic; to whoever tried a key, or has a page, by a key."""
    assert (await log_in(site, password="x")).headers["www-authenticate"] == 'Basic realm="devicehive"'
    by_page = await log_in(site, password="x", Origin="http://a.example")
    assert by_page.headers["www-authenticate"] == 'Bearer realm="devicehive"'
    with_key = await site.by_key("alices").post(LOGIN, {"providerName": "password", "login": "x", "password": "x"})
    assert (with_key.status, with_key.headers["www-authenticate"]) == (401, 'Bearer realm="devicehive"')


@pytest.mark.parametrize("status", [UserStatus.LOCKED_OUT, UserStatus.DISABLED, UserStatus.DELETED])
async def test_whoever_is_not_active_is_nobody(site, status):
    """The right password is as good as any other, and nothing is counted."""
    await site.hub.gateway.transact(lambda tx, _: tx.update_user(2, status=status))

    assert told(await log_in(site)) == told(await log_in(site, "nobody")) == (401, "Unauthorized")
    assert told(await log_in(site, password="wrong")) == (401, "Unauthorized")
    await site.hub.gateway.transact(lambda tx, _: tx.update_user(2, status=UserStatus.ACTIVE))
    assert (await site.hub.store.find_login("alice")).login_attempts == 0


async def test_a_login_counts(site):
    """Failures are counted until the first success, which is remembered as the last login."""
    clock = take_clock(site.hub.gateway)
    for _ in range(2):
        await log_in(site, password="wrong")
    assert (await site.hub.store.find_login("alice")).login_attempts == 2

    assert (await log_in(site)).status == 200

    record = await site.hub.store.find_login("alice")
    assert (record.login_attempts, record.user.last_login_ms) == (0, clock.now_us // 1000)


async def test_guesses_at_a_login_are_slowed_down(start_site):
    """After a few wrong passwords the right one is not even looked at, however it is sent; then it is again."""
    site = await start_site(failed_logins_per_minute=3, rest_requests_per_s=0.0)
    clock = take_clock(site.hub.gateway)

    for _ in range(4):
        assert told(await log_in(site, password="wrong")) == (401, "Unauthorized")

    assert told(await log_in(site)) == (401, "Unauthorized")
    assert (await site.by_login("alice").get("/info")).status == 401
    assert (await site.by_login("bob").get("/info")).status == 200
    assert (await site.hub.store.find_login("alice")).login_attempts == 3
    clock.forward(61)
    assert (await log_in(site)).status == 200


async def test_a_password_that_changes_while_a_session_is_made_makes_none(site, monkeypatch):
    """What was vouched for is the user as it was."""
    logins = site.hub.gateway.logins
    check = logins.active_user

    async def changed_after(*args):
        user = await check(*args)
        await site.hub.gateway.transact(lambda tx, _: tx.set_password(user.id, password_hash=None))
        return user

    monkeypatch.setattr(logins, "active_user", changed_after)

    assert told(await log_in(site)) == (401, "Unauthorized")


async def test_a_session_lasts_as_long_as_it_is_used(start_site):
    """Used in its second half it gets a whole new life; after that it is nothing. The row of the configuration wins."""
    site = await start_site(rest_requests_per_s=0.0)
    clock = take_clock(site.hub.gateway)
    assert (await site.admin.put("/configuration/session.timeout", b"100000")).status == 200
    client = site.client(http.key((await log_in(site)).json()["key"]))

    for seconds in (40, 20, 90):
        clock.forward(seconds)
        assert (await client.get("/user/current")).status == 200, seconds
    clock.forward(101)

    assert told(await client.get("/user/current")) == (401, "Unauthorized")
    assert (await site.nobody.get("/info/config/auth")).json()["sessionTimeout"] == 100


async def test_logging_out_is_the_end_of_the_key(site):
    """Whatever key it is: for requests, and for its sockets."""
    socket = await site.key("alices")

    assert (await site.by_key("alices").delete(LOGIN)).status == 204

    assert (await site.by_key("alices").get("/info")).status == 401
    assert await socket.closed() == 4401


async def test_a_key_that_may_not_manage_keys_cannot_log_out(site):
    """It is told that it may not."""
    key = {"label": "x", "permissions": [{"actions": ["GetDevice"]}]}
    made = (await site.by_login("alice").post("/user/current/accesskey", key)).json()

    assert told(await site.client(http.key(made["key"])).delete(LOGIN)) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (http.NOTHING, (400, "Invalid request parameters")),
        ({}, (400, "Invalid request parameters")),
        ({"providerName": " "}, (400, "Invalid request parameters")),
        ({"providerName": "password", "login": "alice"}, (400, "Invalid or empty authorization request parameters")),
        ({"providerName": "x", "login": "alice"}, (401, "Illegal provider name was found: x")),
    ],
)
async def test_a_login_that_says_too_little_is_refused(site, body, refusal):
    """Before anything is looked up."""
    assert told(await site.nobody.post(LOGIN, body)) == refusal


# --- with an identity provider ----------------------------------------------------------------------------------------

COMPLETE = {
    Provider.GOOGLE: {"code": "c", "redirect_uri": "r"},
    Provider.FACEBOOK: {"code": "c", "redirect_uri": "r"},
    Provider.GITHUB: {"code": "c"},
}


@pytest.mark.parametrize("provider", COMPLETE)
async def test_a_provider_has_to_be_enabled(start_site, provider):
    """Then a login has to be complete, and then the provider has to be there."""
    nowhere = "http://127.0.0.1:1/token"  # and were it somewhere, it could not be asked there
    site = await start_site(google_token_url=nowhere, facebook_token_url=nowhere, github_token_url=nowhere)
    named = provider.capitalize()
    complete = {"providerName": named, **COMPLETE[provider]}
    assert told(await site.nobody.post(LOGIN, complete)) == (401, f"Identity provider with id = {named} not allowed")

    await enable(site, provider)

    assert (await site.nobody.post(LOGIN, {"providerName": named})).status == 400
    assert told(await site.nobody.post(LOGIN, complete)) == (
        503,
        "Exception has been caught during request to the identity provider API",
    )


@pytest.fixture
async def vouched(site):
    """A site whose providers say of everybody who logs in that it is the code."""

    async def ask(provider, login):
        if login.code == "silence":
            raise PROVIDER_UNREACHABLE.error()
        return login.code

    site.hub.gateway.logins.ask_provider = ask
    await enable(site, Provider.GITHUB)
    await site.admin.put("/user/2", {"githubLogin": "Alice@Example.com"})
    return site


async def test_a_provider_vouches_for_the_user_with_its_login(vouched):
    """In any spelling; it is a login like any other."""
    made = await vouched.nobody.post(LOGIN, {"providerName": "github", "code": "alice@example.COM"})

    me = (await vouched.client(http.key(made.json()["key"])).get("/user/current")).json()
    assert (me["login"], me["lastLogin"] is None) == ("alice", False)


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("nobody@example.com", (401, "User not found")),
        ("alice@example.com", (401, "User is locked, disabled or deleted")),
        ("silence", (503, "Exception has been caught during request to the identity provider API")),
    ],
)
async def test_a_provider_may_vouch_for_nobody(vouched, code, refusal):
    """For somebody who is not here, or may not be."""
    await vouched.admin.put("/user/2", {"status": 2})

    assert told(await vouched.nobody.post(LOGIN, {"providerName": "github", "code": code})) == refusal
