"""OAuth grants: the key that comes of one, and when its code may be exchanged."""

import pytest

from hub.core.grants import ONLINE_MS, Wanted, as_wanted, check_exchange, seconds_left
from protocol.entities import OAuthClient, OAuthGrant
from protocol.errors import BAD_CODE, BAD_REDIRECT_URI, GRANT_EXPIRED, UNKNOWN_KEY_ACTION, HubError
from protocol.names import AccessType, GrantType, KeyType
from tests.builders import access_key

NOW_MS = 1_437_717_044_000
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
APP = OAuthClient(1, "App", "app.com", "https://app.com/cb", "app", "10.0.0.0/8")


def wanted(client=APP, **members):
    """A grant of type Code for the client."""
    given = {"type": GrantType.CODE, "access_type": AccessType.ONLINE, "redirect_uri": "r", "scope": "GetDevice"}
    return Wanted(client, **{**given, **members})


def granted(**members):
    """A stored grant that was made just now."""
    given = {"type": GrantType.CODE, "access_type": AccessType.ONLINE, "redirect_uri": "r", "scope": "GetDevice"}
    return OAuthGrant(1, NOW_MS, 2, APP, access_key(), **{**given, **members})


def test_the_scope_says_what_the_key_may():
    """From where its client says, in the networks of the grant."""
    key = wanted(scope="GetDevice GetNetwork", network_ids=(1, 2)).key(key_id=5, user_id=2, now_ms=NOW_MS)

    [permission] = key.permissions
    assert permission.actions == ("GetDevice", "GetNetwork")
    assert (permission.domains, permission.subnets, permission.network_ids) == (("app.com",), ("10.0.0.0/8",), (1, 2))
    assert (key.id, key.user_id, key.type, key.label) == (5, 2, KeyType.OAUTH, f"OAuth token for: App({NOW_MS})")


def test_a_client_without_a_subnet_is_not_bound_to_one():
    """Its key may be used from anywhere."""
    anywhere = OAuthClient(1, "A" * 128, "app.com", "r", "app")

    key = wanted(anywhere).key(user_id=2, now_ms=NOW_MS)

    assert key.permissions[0].subnets is None
    assert len(key.label) == 64


@pytest.mark.parametrize(("access_type", "end_ms"), [("Online", NOW_MS + ONLINE_MS), ("Offline", None)])
def test_the_access_type_says_for_how_long(access_type, end_ms):
    """Ten minutes, or until it is taken away."""
    key = wanted(access_type=AccessType(access_type)).key(user_id=2, now_ms=NOW_MS)

    assert key.expires_ms == end_ms
    assert seconds_left(key, NOW_MS + 500) == (599 if end_ms else None)
    assert seconds_left(key, NOW_MS + 2 * ONLINE_MS) == (0 if end_ms else None)


@pytest.mark.parametrize("scope", ["Fly", "GetDevice  GetNetwork", "getdevice", ""])
def test_a_scope_names_actions(scope):
    """To the letter, with single blanks between them."""
    with pytest.raises(HubError) as caught:
        wanted(scope=scope).key(user_id=2, now_ms=NOW_MS)
    assert caught.value.problem is UNKNOWN_KEY_ACTION


@pytest.mark.parametrize(
    ("grant", "asked", "problem"),
    [
        (None, {}, BAD_CODE),
        (granted(type=GrantType.TOKEN), {}, BAD_CODE),
        (granted(), {"oauth_id": "other"}, BAD_CODE),
        (granted(), {"redirect_uri": "s"}, BAD_REDIRECT_URI),
        (granted(), {"now_ms": NOW_MS + ONLINE_MS + 1}, GRANT_EXPIRED),
    ],
)
def test_a_code_is_exchanged_by_its_client_in_time(grant, asked, problem):
    """With the address that it was made for, if that is said."""
    with pytest.raises(HubError) as caught:
        check_exchange(grant, **{"oauth_id": "app", "redirect_uri": None, "now_ms": NOW_MS, **asked})
    assert caught.value.problem is problem


@pytest.mark.parametrize(
    ("challenge", "verifier", "passes"),
    [
        (CHALLENGE, VERIFIER, True),
        (CHALLENGE, VERIFIER[:-1], False),
        (CHALLENGE, CHALLENGE, False),
        (CHALLENGE, None, False),
        (CHALLENGE, "\ud800", False),
        (None, VERIFIER, False),
        (None, None, True),
    ],
)
def test_a_code_goes_to_whoever_asked_for_it(challenge, verifier, passes):
    """By a secret that was told as its hash only (RFC 7636); the values are those of its appendix B."""

    def exchange():
        check_exchange(
            granted(code_challenge=challenge), oauth_id="app", redirect_uri=None, verifier=verifier, now_ms=NOW_MS
        )

    if passes:
        exchange()
        return
    with pytest.raises(HubError) as caught:
        exchange()
    assert caught.value.problem is BAD_CODE


@pytest.mark.parametrize("redirect_uri", [None, "r"])
def test_the_last_moment_is_in_time(redirect_uri):
    """Ten minutes to the millisecond."""
    grant = granted()

    passed = check_exchange(grant, oauth_id="app", redirect_uri=redirect_uri, now_ms=NOW_MS + ONLINE_MS)

    assert passed is grant
    assert as_wanted(grant) == wanted()
