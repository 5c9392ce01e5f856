"""The tests' own client and world, proven on what every hub can do."""

from tests.rest.http import NOTHING


async def test_a_request_has_its_answer(site):
    """Status, headers and body come back, without credentials and with any of the four kinds."""
    for client in (site.nobody, site.admin, site.by_key("alices"), site.by_device("lamp")):
        response = await client.get("/info")

        assert response.status == 200, client.who
        assert response.headers["content-type"] == "application/json"
        assert response.json()["apiVersion"] == "2.0.6"


async def test_requests_share_a_connection(site):
    """A kept client goes on where its last answer ended, also after one without a body."""
    async with site.nobody.kept() as client:
        statuses = [(await client.ask(method, "/info", NOTHING)).status for method in ("GET", "HEAD", "OPTIONS", "GET")]

    assert statuses == [200, 200, 200, 200]


async def test_a_body_is_json_or_any_bytes(site):
    """What is no JSON is sent as it is."""
    refused = await site.admin.post("/device/lamp/notification", b'{"notification":')
    made = await site.admin.post("/device/lamp/notification", {"notification": "on"})

    assert (refused.status, made.status) == (400, 201)
