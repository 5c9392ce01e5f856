"""OAuth clients and grants over the REST API of a hub elsewhere. Imported when needed."""

from typing import Any

from hub.cli.output import fail
from hub.cli.remote_values import Shown, to_key
from hub.cli.rest import PAGE, Rest
from hub.store import Listing, NewClient
from protocol.entities import OAuthClient, OAuthGrant
from protocol.names import AccessType, GrantType
from protocol.times import parse_ms

GRANTS = "/user/current/oauth/grant"
"""An administrator's own are everybody's."""


class RemoteOAuth:
    """As much of :class:`hub.store.oauth.OAuth` as commands use."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def client(self, client_id: int) -> OAuthClient | None:
        row = self._rest.find(f"/oauth/client/{client_id}")
        return None if row is None else _to_client(row)

    def client_by_oauth_id(self, oauth_id: str) -> OAuthClient | None:
        return next(map(_to_client, self._rest.get("/oauth/client", oauthId=oauth_id)), None)

    def list_clients(self, listing: Listing) -> list[OAuthClient]:
        if listing.take is None:
            return list(map(_to_client, self._rest.every("/oauth/client", sortField="ID")))
        page = {"take": min(listing.take, PAGE), "skip": listing.skip}
        return list(map(_to_client, self._rest.get("/oauth/client", sortField="ID", **page)))

    def client_secret(self, client_id: int) -> str:
        fail("with an access key, the REST API shows no secret: ask where the hub runs, or with a password")

    def insert_client(self, **values: Any) -> NewClient:
        made = self._rest.post("/oauth/client", _of_client(values))
        return NewClient(OAuthClient(id=made["id"], **values), made["oauthSecret"])

    def update_client(self, client_id: int, **changes: Any) -> None:
        self._rest.put(f"/oauth/client/{client_id}", _of_client(changes))

    def delete_client(self, client_id: int, *, limit: int) -> int:
        """The hub does all of it, whatever the limit."""
        self._rest.delete(f"/oauth/client/{client_id}")
        return 0

    def grant(self, grant_id: int) -> OAuthGrant | None:
        row = self._rest.find(f"{GRANTS}/{grant_id}")
        return None if row is None else _to_grant(row)

    def list_grants(self, listing: Listing) -> list[OAuthGrant]:
        return list(map(_to_grant, self._rest.every(GRANTS, clientOAuthId=listing.equal.get("client_oauth_id"))))

    def delete_grant(self, grant_id: int) -> None:
        self._rest.delete(f"{GRANTS}/{grant_id}")


def _of_client(values: dict[str, Any]) -> dict[str, Any]:
    names = {"redirect_uri": "redirectUri", "oauth_id": "oauthId"}
    return {names.get(name, name): value for name, value in values.items()}


def _to_client(row: Shown) -> OAuthClient:
    return OAuthClient(row["id"], row["name"], row["domain"], row["redirectUri"], row["oauthId"], row["subnet"])


def _to_grant(row: Shown) -> OAuthGrant:
    networks = row["networkIds"]
    return OAuthGrant(
        id=row["id"],
        timestamp_ms=parse_ms(row["timestamp"]),
        user_id=0,  # REST does not tell
        client=_to_client(row["client"]),
        key=to_key(row["accessKey"], 0),
        type=GrantType(row["type"]),
        access_type=AccessType(row["accessType"]),
        redirect_uri=row["redirectUri"],
        scope=row["scope"],
        network_ids=None if networks is None else tuple(networks),
    )
