"""``hub oauth``."""

import pytest

from protocol.names import AccessType, GrantType
from tests.builders import permission

WALL = ("--domain", "wall.example.org", "--redirect-uri", "https://wall.example.org/cb")
SHOWN = {
    "id": 1,
    "oauthId": "wall",
    "name": "Wall display",
    "domain": "wall.example.org",
    "redirectUri": "https://wall.example.org/cb",
    "subnet": None,
}


def put_grant(tx):
    key = tx.insert_key(user_id=1, label="x", permissions=[permission()]).key
    tx.oauth.insert_grant(
        user_id=1,
        client_id=1,
        key_id=key.id,
        timestamp_ms=0,
        type=GrantType.CODE,
        access_type=AccessType.OFFLINE,
        redirect_uri="r",
        scope="GetDevice",
        network_ids=[1],
        auth_code="hush",
    )


def test_an_application_from_registration_to_deletion(installation):
    """Its secret is shown when it is made, and again on request only. What it was let do ends with it."""
    made = installation.hub("oauth", "create", "wall", "--name", "Wall display", *WALL, "--json").json
    secret = made.pop("secret")
    listed = installation.hub("oauth", "list").out
    updated = installation.hub("oauth", "update", "wall", "--name", "Wall", "--subnet", "10.0.0.0/8", "--json").json

    assert (made, secret in listed, "wall.example.org" in listed) == (SHOWN, False, True)
    assert updated == {**SHOWN, "name": "Wall", "subnet": "10.0.0.0/8"}
    assert secret not in installation.hub("oauth", "show", "wall").out
    assert installation.hub("oauth", "show", "wall", "--secret", "--json").json == {**updated, "secret": secret}
    installation.transact(put_grant)
    installation.hub("oauth", "delete", "wall", "--yes")
    assert installation.transact(lambda tx: tx.keys(1)) == []
    assert installation.hub("oauth", "list", "--json").json == []


def test_what_users_let_an_application_do_is_taken_back(installation):
    """With its key; a code is not shown."""
    installation.hub("oauth", "create", "wall", *WALL)
    installation.transact(put_grant)
    [grant] = installation.hub("oauth", "grants", "--client", "wall", "--json").json
    shown = installation.hub("oauth", "grants").out

    assert (grant["scope"], grant["networkIds"], grant["client"]) == ("GetDevice", [1], "wall")
    assert ("GetDevice" in shown, "hush" in shown + str(grant)) == (True, False)
    installation.hub("oauth", "revoke", str(grant["id"]))
    assert installation.transact(lambda tx: tx.key(grant["keyId"])) is None
    assert installation.hub("oauth", "grants", "--client", "nobody", "--json").json == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("create", "wall", *WALL), 1, "there is an application wall already"),
        (("create", "x" * 33, *WALL), 2, "the oauth id must have 1 to 32 characters"),
        (("update", "wall"), 2, "nothing to change"),
        (("show", "nobody"), 1, "there is no application nobody"),
        (("delete", "wall"), 2, "Delete wall and everything that users let it do?"),
        (("revoke", "7"), 1, "there is no grant 7"),
    ],
)
def test_what_cannot_be_is_told(installation, words, code, told):
    """With the way out."""
    installation.hub("oauth", "create", "wall", *WALL)

    assert told in installation.hub("oauth", *words, code=code).err
