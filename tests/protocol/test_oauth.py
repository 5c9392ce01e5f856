"""OAuth on the wire: what requests hold, and what answers show."""

import pytest

from protocol.account_views import ShownKey
from protocol.entities import OAuthClient, OAuthGrant
from protocol.errors import BAD_ARGUMENT, BAD_PARAMETER, HubError
from protocol.names import AccessType, GrantType
from protocol.oauth_forms import AskToken, CreateGrant, ListGrants, UpdateGrant
from protocol.oauth_views import (
    TOKEN,
    ShownClient,
    ShownGrant,
    Token,
    show_client,
    show_clients,
    show_made,
)
from protocol.rules import OAUTH_CLIENT, check
from tests.builders import access_key

APP = OAuthClient(1, "App", "app.com", "https://app.com/cb", "app")


def read(form, members):
    return form.fill(form.read_body(members), {}, {})


def refused(form, members):
    with pytest.raises(HubError) as caught:
        form.read_body(members)
    return caught.value.problem


def shown(type_=GrantType.CODE):
    grant = OAuthGrant(1, 0, 2, APP, access_key(), type_, AccessType.ONLINE, "r", "GetDevice", auth_code="c")
    return ShownGrant(grant, ShownKey(grant.key, "k"), ShownClient(APP), "c")


def test_a_grant_is_read_as_it_is_sent():
    """The client by its id, words as such, networks as numbers; null is null."""
    form = read(
        CreateGrant,
        {
            "client": {"oauthId": "app", "name": None},
            "type": "Code",
            "accessType": None,
            "redirectUri": "r",
            "scope": "GetDevice",
            "networkIds": [1, "2"],
        },
    )

    assert (form.client.oauth_id, form.client.name) == ("app", None)
    assert (form.type, form.access_type, form.network_ids) == (GrantType.CODE, None, (1, 2))
    assert (form.missing, form.code_challenge) == ([], None)
    assert read(UpdateGrant, {"networkIds": None, "client": None}).network_ids is None


@pytest.mark.parametrize(
    "member",
    [
        {"codeChallenge": "short"},
        {"codeChallenge": 5},
        {"type": "code"},
        {"type": 1},
        {"type": []},
        {"networkIds": {}},
        {"networkIds": ["x"]},
        {"networkIds": [10**18] * 7},
    ],
)
def test_what_is_no_grant_is_refused(member):
    """Words to the letter; networks that can be stored."""
    assert refused(CreateGrant, member) is BAD_PARAMETER


def test_words_in_a_query_have_an_error_of_their_own():
    """An empty text asks for nothing."""
    assert ListGrants.fill({}, {}, {"type": "", "accessType": "Offline"}).access_type is AccessType.OFFLINE
    with pytest.raises(HubError, match="Illegal argument: Foo") as caught:
        ListGrants.fill({}, {}, {"type": "Foo"})
    assert caught.value.problem is BAD_ARGUMENT


@pytest.mark.parametrize("members", [None, {}, {"grant_type": ""}])
def test_a_token_is_asked_for_in_some_way(members):
    """That has to be said."""
    assert refused(AskToken, members) is BAD_PARAMETER


def test_a_redirect_uri_has_two_names():
    """DeviceHive's goes before that of RFC 6749; no secret is in a repr."""
    fields = {"grant_type": "x", "code": "hush", "password": "hush"}

    asked = [read(AskToken, {**fields, **more}) for more in ({}, {"redirect_uri": "a"}, {"redirectUri": "b"})]

    assert [one.redirect_uri for one in asked] == [None, "a", "b"]
    assert "hush" not in repr(asked)


def test_a_client_shows_its_secret_to_whom_it_is_told():
    """To others there is no such member."""
    names = ["id", "name", "domain", "subnet", "redirectUri", "oauthId"]

    assert list(show_client(ShownClient(APP))) == names
    assert list(show_client(ShownClient(APP, "s"))) == [*names, "oauthSecret"]
    assert list(show_clients([ShownClient(APP, "s")])) == [show_client(ShownClient(APP, "s"))]
    assert "hush" not in repr(ShownClient(APP, "hush"))


def test_a_new_grant_shows_its_key_or_its_code():
    """A key where the browser brings that, else what there is of a code."""
    assert show_made(shown()) == {"id": 1, "timestamp": "1970-01-01T00:00:00.000", "authCode": "c"}
    assert show_made(shown(GrantType.TOKEN))["accessKey"] == {"id": 7, "key": "k"}


def test_a_token_is_a_bearers():
    """For some seconds, or for good."""
    assert TOKEN(Token("k", 5)) == {"access_token": "k", "token_type": "Bearer", "expires_in": 5}
    assert TOKEN(Token("k"))["expires_in"] is None


def test_a_redirect_uri_is_called_so_where_it_is_too_long():
    """In DeviceHive's words."""
    with pytest.raises(HubError, match="The length of redirect URI should not be more than 128 symbols"):
        check(OAUTH_CLIENT, redirectUri="x" * 129)
