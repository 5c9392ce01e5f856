"""Identity providers: what a login through one of them has to bring."""

from protocol.account_forms import Login
from protocol.errors import BAD_PARAMETER, CODE_REQUIRED, LOGIN_INPUT, PROVIDER_UNKNOWN
from protocol.names import Provider

PROVIDERS = (Provider.GOOGLE, Provider.FACEBOOK, Provider.GITHUB)
"""Those that an administrator can enable."""


def provider_of(ask: Login) -> Provider:
    """Who is to vouch for a login.

    Raises:
        BadRequest: nobody is named.
        Unauthorized: nobody knows who that is.
    """
    name = ask.provider_name
    if _is_blank(name):
        raise BAD_PARAMETER.error(detail={"parameter": "providerName"})
    try:
        return Provider((name or "").lower())
    except ValueError as exc:
        raise PROVIDER_UNKNOWN.error(name=name) from exc


def check_input(provider: Provider, ask: Login) -> None:
    """Let a login pass that brings what its provider needs.

    Raises:
        BadRequest: something is missing.
    """
    has_code = not (_is_blank(ask.code) or _is_blank(ask.redirect_uri))
    has_token = not _is_blank(ask.access_token)
    if provider is Provider.PASSWORD:
        complete = not (_is_blank(ask.login) or _is_blank(ask.password))
    elif provider is Provider.GITHUB:
        complete = not _is_blank(ask.code)
    elif provider is Provider.GOOGLE:
        complete = has_token or has_code
    else:  # Facebook goes by the code where there is one.
        complete = has_code or (has_token and _is_blank(ask.code))
    if not complete:
        raise (CODE_REQUIRED if provider is Provider.GITHUB else LOGIN_INPUT).error()


def _is_blank(text: str | None) -> bool:
    return text is None or not text.strip()
