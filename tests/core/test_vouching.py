"""Identity providers: what they are asked, and when they are believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.vouching import Account, Endpoints, vouch
from protocol.account_forms import Login
from protocol.errors import (
    IDENTITY_UNKNOWN,
    PROVIDER_DENIED,
    PROVIDER_NO_TOKEN,
    PROVIDER_OTHER_AUDIENCE,
    PROVIDER_REFUSED,
    PROVIDER_UNREACHABLE,
    HubError,
)
from protocol.names import Provider

ACCOUNT = Account("hub-id", "hush")
ENDPOINTS = Endpoints("https://token", "https://verification", "https://api")
CODE = {"code": "c", "redirect_uri": "r"}
FOR_US = b'{"issued_to":"hub-id.apps","email":"ann@example.com"}'


WAYS = [
    (Provider.GOOGLE, CODE),
    (Provider.GOOGLE, {"access_token": "t"}),
    (Provider.FACEBOOK, CODE),
    (Provider.FACEBOOK, {"access_token": "t"}),
    (Provider.GITHUB, {"code": "c"}),
]
SNIPPETS = [
    b"access_token=t",
    b'{"access_token":"t"}',
    b'{"id":"hub-id","email":"a"}',
    b'[{"primary":true,"email":"a"}]',
    b"[" * 2_000,
    b'{"error":[]}',
    b"[null,1,{}]",
    b"&&=&",
    FOR_US,
]


def asked(provider, *answers, account=ACCOUNT, **login):
    """The questions that come, and the e-mail address in the end."""
    steps = vouch(provider, Login(provider_name=provider.value, **login), account, ENDPOINTS)
    questions, given = [next(steps)], list(answers)
    while given:
        try:
            questions.append(steps.send(given.pop(0)))
        except StopIteration as end:
            return questions, end.value
    raise AssertionError(f"asks on: {questions[-1]}")


def refused(provider, *answers, **options):
    with pytest.raises(HubError) as caught:
        asked(provider, *answers, **options)
    return caught.value


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_google_exchanges_a_code_and_verifies_the_token():
    """The token is verified before anything of it is used."""
    (token, verification), email = asked(Provider.GOOGLE, b'{"access_token":"t"}', FOR_US, **CODE)

    assert (token.url, token.failure) == ("https://token", PROVIDER_UNREACHABLE)
    assert token.form == {
        "code": "c",
        "client_id": "hub-id",
        "client_secret": "hush",
        "redirect_uri": "r",
        "grant_type": "authorization_code",
    }
    assert (verification.url, verification.query) == ("https://verification", {"access_token": "t"})
    assert (verification.failure, email) == (PROVIDER_REFUSED, "ann@example.com")


def test_google_takes_a_token_rather_than_a_code():
    """Then it is the only question."""
    [verification], email = asked(Provider.GOOGLE, FOR_US, access_token=" t ", **CODE)

    assert (verification.query, email) == ({"access_token": "t"}, "ann@example.com")


def test_facebook_takes_a_code_rather_than_a_token():
    """Whoever exchanges a code knows whom the token is for; a token that is brought has to be verified."""
    me = b'{"email":"ann@example.com"}'

    (token, api), _ = asked(Provider.FACEBOOK, b"access_token=t&expires=5", me, access_token="other", **CODE)
    assert token.query == {"code": "c", "client_id": "hub-id", "client_secret": "hush", "redirect_uri": "r"}
    assert (token.form, api.url, api.bearer) == (None, "https://api", "t")

    (verification, api), email = asked(Provider.FACEBOOK, b'{"id":"hub-id"}', me, access_token="t")
    assert (verification.url, api.bearer, email) == ("https://verification", "t", "ann@example.com")


def test_github_knows_the_primary_address():
    """Of several."""
    emails = b'[1,{"email":"x","primary":false},{"email":" ann@example.com ","primary":true,"verified":true}]'

    (token, api), email = asked(Provider.GITHUB, b"access_token=t&scope=user&token_type=bearer", emails, code="c")

    assert token.form == {"code": "c", "client_id": "hub-id", "client_secret": "hush"}
    assert (api.bearer, email) == ("t", "ann@example.com")


def test_no_secret_is_in_a_repr():
    """Neither that of the account nor what is sent."""
    (token, verification), _ = asked(Provider.GOOGLE, b'{"access_token":"hush"}', FOR_US, **CODE)

    assert "hush" not in repr((ACCOUNT, token, verification))


# --- whom is not believed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issued_to", ["other", "hub-id2", "hub-ident", "", None, 5])
def test_a_token_for_another_application_is_not_believed(issued_to):
    """Or anybody's application could log its users in here."""
    import orjson

    answer = orjson.dumps({"issued_to": issued_to, "email": "ann@example.com"})

    error = refused(Provider.GOOGLE, answer, access_token="t")
    assert (error.problem, error.text) == (
        PROVIDER_OTHER_AUDIENCE,
        "OAuth access token for provider Google verification failed",
    )


@pytest.mark.parametrize("provider", [Provider.GOOGLE, Provider.FACEBOOK])
def test_without_a_client_id_no_token_is_for_us(provider):
    """An empty id would be the beginning of all."""
    for answer in (b'{"issued_to":"x","email":"a"}', b'{"id":"","email":"a"}', b'{"id":null}'):
        assert refused(provider, answer, account=Account(), access_token="t").problem is PROVIDER_OTHER_AUDIENCE


@pytest.mark.parametrize(
    ("provider", "answers", "login", "problem"),
    [
        (Provider.GOOGLE, [b'{"error":"invalid_token"}'], {"access_token": "t"}, PROVIDER_DENIED),
        (Provider.GOOGLE, [b"[]"], {"access_token": "t"}, PROVIDER_DENIED),
        (Provider.GOOGLE, [b"<html>"], {"access_token": "t"}, PROVIDER_REFUSED),
        (Provider.GOOGLE, [FOR_US[:-1] + b',"verified_email":false}'], {"access_token": "t"}, PROVIDER_DENIED),
        (Provider.GOOGLE, [b'{"issued_to":"hub-id"}'], {"access_token": "t"}, IDENTITY_UNKNOWN),
        (Provider.GOOGLE, [b'{"issued_to":"hub-id","email":" "}'], {"access_token": "t"}, IDENTITY_UNKNOWN),
        (Provider.FACEBOOK, [b'{"id":"other"}'], {"access_token": "t"}, PROVIDER_OTHER_AUDIENCE),
        (Provider.FACEBOOK, [b"access_token=t", b'{"error":{"message":"x"}}'], CODE, PROVIDER_DENIED),
        (Provider.FACEBOOK, [b"access_token=t", b'{"email":5}'], CODE, IDENTITY_UNKNOWN),
        (Provider.FACEBOOK, [b"access_token=t", b'{"email":"a\\u0000"}'], CODE, IDENTITY_UNKNOWN),
        (Provider.GITHUB, [b"access_token=t", b'{"message":"no"}'], {"code": "c"}, PROVIDER_DENIED),
        (Provider.GITHUB, [b"access_token=t", b"[]"], {"code": "c"}, IDENTITY_UNKNOWN),
        (
            Provider.GITHUB,
            [b"access_token=t", b'[{"email":"a","primary":true,"verified":false}]'],
            {"code": "c"},
            PROVIDER_DENIED,
        ),
    ],
)
def test_an_answer_that_vouches_for_nobody(provider, answers, login, problem):
    """Errors, other shapes, addresses that nobody has confirmed."""
    assert refused(provider, *answers, **login).problem is problem


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b"error=bad_verification_code", "error=bad_verification_code"),
        (b"expires=5&access_token=hush&x=1", "expires=5&access_token=***&x=1"),
        (b'{"access_token":"","refresh_token":"hush"}', '{"access_token":"","refresh_token":"***"}'),
        (b'{"access_token":7}', '{"access_token":***}'),
        (b"expires=5&access_token=1%2Fhush|hush=!&x=1", "expires=5&access_token=***&x=1"),
        (b'[{"access_token"   :   "hu,sh;hush"}]', '[{"access_token"   :   "***"}]'),
        (b"x=1 client_secret=hush", "x=1 client_secret=***"),
        (b"x=1&id_token=" + b"hush" * 50, "x=1&id_token=***"),
        (b"\xff\r\n" + b"x" * 500, "\N{REPLACEMENT CHARACTER}" + "x" * 125),
        (b"", ""),
    ],
)
def test_an_unexpected_answer_to_a_code_is_shown_without_its_secrets(answer, shown):
    """And no more of it than helps."""
    error = refused(Provider.GITHUB, answer, code="c")

    assert (error.problem, error.text) == (
        PROVIDER_NO_TOKEN,
        f"Getting OAuth access token for provider Github failed: {shown}",
    )


@given(
    provider=st.sampled_from(WAYS),
    answers=st.lists(st.binary() | st.sampled_from(SNIPPETS), min_size=4, max_size=4),
)
def test_whatever_a_provider_answers_is_an_address_or_a_refusal(provider, answers):
    """Nothing else comes of it."""
    name, login = provider

    assert outcome(name, *answers, **login)


def outcome(provider, *answers, **login):
    """The e-mail address, or the status of the refusal."""
    try:
        return asked(provider, *answers, **login)[1]
    except HubError as error:
        return error.code in (401, 403)
