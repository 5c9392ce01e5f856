"""Identity providers: what to ask them, one step after the other, and what their answers say of whoever logs in.

:func:`vouch` is a generator: it yields what is to be asked, is sent the bytes of the answer, and returns the e-mail
address that the provider vouches for. Nothing that an answer says is used before it is known to be meant for us.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from protocol.account_forms import Login
from protocol.errors import (
    IDENTITY_UNKNOWN,
    PROVIDER_DENIED,
    PROVIDER_NO_TOKEN,
    PROVIDER_OTHER_AUDIENCE,
    PROVIDER_REFUSED,
    PROVIDER_UNREACHABLE,
    Problem,
)
from protocol.names import Provider

ANSWER_SHOWN = 128
"""Characters of an unexpected answer that whoever logs in is shown."""

_SECRETS = re.compile(
    r"""((?:access_token|refresh_token|id_token|client_secret)[\\"'\s]*[:=][\\'\s]*"?)(?:(?<=")[^"]+|(?<!")[^"&\s}]+)"""
)
"""In a form up to the next field, in JSON up to the end of the text: tokens may be of any characters."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a provider knows this hub as."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked: for a token, whom that was made for, and whose it is."""

    token: str
    verification: str = ""
    api: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a provider.

    Attributes:
        query: goes behind the address.
        form: of a POST; None: it is a GET.
        bearer: what the request authenticates with.
        failure: what it is called when no answer comes of it.
    """

    url: str
    failure: Problem
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)


Vouching = Generator[Question, bytes, str]


def vouch(provider: Provider, ask: Login, account: Account, endpoints: Endpoints) -> Vouching:
    """Ask a provider who logs in.

    Returns:
        The e-mail address.

    Raises:
        HubError: it vouches for nobody, or for somebody else's purposes.
    """
    return _WAYS[provider](ask, account, endpoints)


def _google(ask: Login, account: Account, endpoints: Endpoints) -> Vouching:
    token = (ask.access_token or "").strip()
    if not token:
        form = {**_code(ask, account), "redirect_uri": ask.redirect_uri or "", "grant_type": "authorization_code"}
        token = _token(Provider.GOOGLE, (yield Question(endpoints.token, PROVIDER_UNREACHABLE, form=form)))
    answer = yield Question(endpoints.verification, PROVIDER_REFUSED, query={"access_token": token})
    told = _object(Provider.GOOGLE, answer)
    if not _begins_with(told.get("issued_to"), account.client_id):
        raise PROVIDER_OTHER_AUDIENCE.error(name="Google")
    if told.get("verified_email") is False:
        raise PROVIDER_DENIED.error(name="Google")
    return _email(told)


def _facebook(ask: Login, account: Account, endpoints: Endpoints) -> Vouching:
    if (ask.code or "").strip():
        query = {**_code(ask, account), "redirect_uri": ask.redirect_uri or ""}
        token = _token(Provider.FACEBOOK, (yield Question(endpoints.token, PROVIDER_UNREACHABLE, query=query)))
    else:
        token = (ask.access_token or "").strip()
        answer = yield Question(endpoints.verification, PROVIDER_REFUSED, query={"access_token": token})
        if not account.client_id or _object(Provider.FACEBOOK, answer).get("id") != account.client_id:
            raise PROVIDER_OTHER_AUDIENCE.error(name="Facebook")
    return _email(_object(Provider.FACEBOOK, (yield Question(endpoints.api, PROVIDER_REFUSED, bearer=token))))


def _github(ask: Login, account: Account, endpoints: Endpoints) -> Vouching:
    answer = yield Question(endpoints.token, PROVIDER_UNREACHABLE, form=_code(ask, account))
    token = _token(Provider.GITHUB, answer)
    emails = _json((yield Question(endpoints.api, PROVIDER_REFUSED, bearer=token)))
    if not isinstance(emails, list):
        raise PROVIDER_DENIED.error(name="Github")
    for told in emails:
        if isinstance(told, dict) and told.get("primary") is True:
            if told.get("verified") is False:
                raise PROVIDER_DENIED.error(name="Github")
            return _email(told)
    raise IDENTITY_UNKNOWN.error()


_WAYS = {Provider.GOOGLE: _google, Provider.FACEBOOK: _facebook, Provider.GITHUB: _github}


# --- what is said and heard -------------------------------------------------------------------------------------------


def _code(ask: Login, account: Account) -> dict[str, str]:
    return {"code": ask.code or "", "client_id": account.client_id, "client_secret": account.client_secret}


def _begins_with(issued_to: Any, client_id: str) -> bool:
    """Whether a token was made for a client whose id begins so, and does not just go on with more of a number."""
    if not client_id or not isinstance(issued_to, str) or not issued_to.startswith(client_id):
        return False
    rest = issued_to[len(client_id) :]
    return not rest or not rest[0].isalnum()


def _token(provider: Provider, answer: bytes) -> str:
    """The token that a code is exchanged for: as JSON, or as a form whose first field it is."""
    told = _json_or_none(answer)
    if isinstance(told, dict):
        token = told.get("access_token")
    else:
        fields = parse_qsl(answer.decode("utf-8", "replace"), max_num_fields=None)
        token = fields[0][1] if fields and fields[0][0] == "access_token" else None
    if not isinstance(token, str) or not token:
        text = _SECRETS.sub(r"\1***", answer.decode("utf-8", "replace"))
        shown = "".join(letter for letter in text[:ANSWER_SHOWN] if letter.isprintable())
        raise PROVIDER_NO_TOKEN.error(name=provider.capitalize(), answer=shown)
    return token


def _object(provider: Provider, answer: bytes) -> dict[str, Any]:
    told = _json(answer)
    if not isinstance(told, dict) or told.get("error"):
        raise PROVIDER_DENIED.error(name=provider.capitalize())
    return told


def _json(answer: bytes) -> Any:
    told = _json_or_none(answer)
    if told is None:
        raise PROVIDER_REFUSED.error()
    return told


def _json_or_none(answer: bytes) -> Any:
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None


def _email(told: Mapping[str, Any]) -> str:
    email = told.get("email")
    if not isinstance(email, str) or not email.strip() or "\0" in email:
        raise IDENTITY_UNKNOWN.error()
    return email.strip()
