"""Views: what an answer shows, and the schema that says so."""

from protocol.views import AT_ONCE, INT64, STRING, View, each, listed, or_null, reference, time_or_null
from tests.builders import EARLIER_MS, network

NETWORK = View("Network", {"id": (INT64, lambda one: one.id), "name": (STRING, lambda one: one.name)})


def test_a_view_shows_its_members_and_no_others():
    """In its own order."""
    assert list(NETWORK(network(5, key="secret")).items()) == [("id", 5), ("name", "net-5")]


def test_the_schema_is_of_the_same_table():
    """Every member is always there, and nothing else ever is."""
    assert NETWORK.schema == {
        "type": "object",
        "properties": {"id": INT64, "name": STRING},
        "required": ["id", "name"],
        "additionalProperties": False,
    }


def test_extended_mode_shows_more():
    """What it adds is in the schema, and need not be there."""
    view = View("Network", NETWORK.members, more={"key": (STRING, lambda one: one.key)})

    assert view(network(5, key="secret")) == {"id": 5, "name": "net-5"}
    assert view.extended(network(5, key="secret")) == {"id": 5, "name": "net-5", "key": "secret"}
    assert list(view.schema["properties"]) == ["id", "name", "key"]
    assert view.schema["required"] == ["id", "name"]


def test_a_view_of_it_shows_less_or_more():
    """The one that it was made of stays as it is."""
    other = NETWORK.but("Secret", "id", key=(STRING, lambda one: one.key))

    assert other(network(key="secret")) == {"name": "net-1", "key": "secret"}
    assert (other.name, list(NETWORK.members)) == ("Secret", ["id", "name"])


def test_what_is_absent_is_null():
    """An entity or a time."""
    show = or_null(NETWORK)

    assert (show(None), show(network())) == (None, {"id": 1, "name": "net-1"})
    assert (time_or_null(None), time_or_null(EARLIER_MS)) == (None, "2015-07-24T05:50:44.000")


def test_a_document_refers_to_a_view_by_its_name():
    """And whoever writes the document finds the view itself."""
    assert reference(NETWORK)["$ref"] == "#/components/schemas/Network"
    assert listed(NETWORK) == {"type": "array", "items": reference(NETWORK)}
    assert reference(NETWORK)["x-view"] is NETWORK
    assert repr(NETWORK) == "View(Network)"


def test_many_are_shown_a_few_at_a_time():
    """So that nobody waits while 100,000 are shown: all of them, in their order, in pieces of a few."""
    networks = [network(number) for number in range(1, 2 * AT_ONCE + 2)]

    many = each(NETWORK)(networks)

    assert [len(piece) for piece in many.pieces()] == [AT_ONCE, AT_ONCE, 1]
    assert list(many) == [NETWORK(one) for one in networks]


def test_many_may_be_none():
    """Then there is no piece."""
    assert list(each(NETWORK)([]).pieces()) == []
