"""Logins: what an identity provider needs, and what a login is exchanged for."""

import pytest

from hub.core.identities import check_input, provider_of
from hub.core.session_keys import session_label, session_permission
from protocol.account_forms import Login
from protocol.entities import KeyPermission
from protocol.errors import BAD_PARAMETER, CODE_REQUIRED, LOGIN_INPUT, HubError
from protocol.names import CLIENT_ACTIONS, Provider
from tests.builders import administrator, user


def refusal(work):
    with pytest.raises(HubError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize(
    ("name", "provider"),
    [("password", Provider.PASSWORD), ("PASSWORD", Provider.PASSWORD), ("Github", Provider.GITHUB)],
)
def test_a_provider_is_named_in_any_case(name, provider):
    """As the clients of old write it, and as the configuration does."""
    assert provider_of(Login(provider_name=name)) is provider


@pytest.mark.parametrize("name", [None, "", " "])
def test_a_login_names_its_provider(name):
    """Without one it is malformed."""
    assert refusal(lambda: provider_of(Login(provider_name=name))).problem is BAD_PARAMETER


def test_a_provider_that_nobody_knows_is_repeated():
    """As it was written."""
    assert refusal(lambda: provider_of(Login(provider_name="Yahoo!"))).text == "Illegal provider name was found: Yahoo!"


@pytest.mark.parametrize(
    ("provider", "given", "problem"),
    [
        (Provider.PASSWORD, {"login": "ann", "password": "x"}, None),
        (Provider.PASSWORD, {"login": " ", "password": "x"}, LOGIN_INPUT),
        (Provider.PASSWORD, {"login": "ann", "password": " "}, LOGIN_INPUT),
        (Provider.PASSWORD, {"login": "ann"}, LOGIN_INPUT),
        (Provider.GOOGLE, {"access_token": "t"}, None),
        (Provider.GOOGLE, {"access_token": "t", "code": "c"}, None),
        (Provider.GOOGLE, {"code": "c", "redirect_uri": "r"}, None),
        (Provider.GOOGLE, {"code": "c"}, LOGIN_INPUT),
        (Provider.GOOGLE, {"redirect_uri": "r"}, LOGIN_INPUT),
        (Provider.GOOGLE, {}, LOGIN_INPUT),
        (Provider.FACEBOOK, {"access_token": "t"}, None),
        (Provider.FACEBOOK, {"code": "c", "redirect_uri": "r", "access_token": "t"}, None),
        (Provider.FACEBOOK, {"code": "c", "access_token": "t"}, LOGIN_INPUT),
        (Provider.FACEBOOK, {"code": " ", "access_token": "t"}, None),
        (Provider.FACEBOOK, {}, LOGIN_INPUT),
        (Provider.GITHUB, {"code": "c"}, None),
        (Provider.GITHUB, {"code": ""}, CODE_REQUIRED),
        (Provider.GITHUB, {"access_token": "t"}, CODE_REQUIRED),
    ],
)
def test_a_login_brings_what_its_provider_needs(provider, given, problem):
    """Google goes by the token where there is one, Facebook by the code."""
    ask = Login(provider_name=provider, **given)

    if problem is None:
        check_input(provider, ask)
    else:
        assert refusal(lambda: check_input(provider, ask)).problem is problem


def test_a_session_key_says_whose_it_is():
    """With the time; of a login that is too long, only its beginning."""
    assert session_label("ann", 1_437_717_044_000) == "OAuth token for: ann(1437717044000)"
    assert session_label("x" * 64, 1_437_717_044_000) == f"OAuth token for: {'x' * 32}(1437717044000)"


def test_a_login_may_do_what_its_user_may():
    """An administrator everything, a client everything that clients may."""
    assert session_permission(administrator()) == KeyPermission()
    assert session_permission(user()) == KeyPermission(actions=session_permission(user()).actions)
    assert set(session_permission(user()).actions) == CLIENT_ACTIONS
    assert len(session_permission(user()).actions) == 13
