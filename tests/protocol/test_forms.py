"""Forms: one table says where each field comes from, how it is converted, and what it looks like."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from protocol.errors import BAD_PARAMETER, BAD_SORT_ORDER, BAD_TIMESTAMP, NOT_FOUND, HubError
from protocol.forms import (
    ANYTHING,
    BOOLEAN,
    COUNT,
    INT32,
    INTEGER,
    NUMBER_ASKED,
    SORT_ORDER,
    TEXT,
    TEXT_ASKED,
    TIME_ASKED,
    TIMESTAMP,
    Form,
    ListForm,
    Place,
    an_object,
    body,
    camel,
    entries,
    header,
    nullable,
    one_of,
    path,
    query,
)
from protocol.requests import UNSET


@dataclass(slots=True, kw_only=True, eq=False)
class Sample(Form):
    needs_body: ClassVar[bool] = True

    network_id: int = path(INTEGER, "id")
    guid: str = path(TEXT_ASKED)
    take: int | None = query(COUNT)
    sort_order: bool = query(SORT_ORDER, default=False)
    start: int | None = query(TIME_ASKED)
    repeat_key: str | None = header(TEXT_ASKED, "Repeat-Key")
    name: Any = body(TEXT, required=True)
    is_blocked: Any = body(BOOLEAN)
    data: Any = body(ANYTHING, default=None)
    calm: str = "not from outside"


def fill(members: Any = None, paths: dict[str, str] | None = None, queries: dict[str, str] | None = None) -> Sample:
    return Sample.fill(Sample.read_body(members), paths or {}, queries or {})


def refused(work: Any) -> HubError:
    with pytest.raises(HubError) as caught:
        work()
    return caught.value


# --- reading ----------------------------------------------------------------------------------------------------------


def test_every_field_is_found_where_it_says():
    """Path, query and body have a name on the wire each, and a conversion."""
    form = fill({"name": 5, "isBlocked": "true", "data": [1]}, {"id": "7", "guid": "a"}, {"take": "3", "start": "1000"})

    assert (form.network_id, form.guid, form.take, form.start) == (7, "a", 3, 1000)
    assert (form.name, form.is_blocked, form.data, form.given) == ("5", True, [1], True)


def test_a_header_is_found_whatever_its_case():
    """Their names come in lower case; nothing of that name counts elsewhere."""
    read = Sample.read_body({"Repeat-Key": "body"})
    form = Sample.fill(read, {"Repeat-Key": "path"}, {"Repeat-Key": "query"}, headers={"repeat-key": "k"})

    assert (form.repeat_key, fill({}).repeat_key) == ("k", None)


def test_what_is_absent_has_its_default():
    """UNSET in the body, unless the field has another default; a query's own default in the query."""
    form = fill({})

    assert (form.name, form.is_blocked, form.data) == (UNSET, UNSET, None)
    assert (form.take, form.sort_order, form.start) == (None, False, None)


def test_null_is_not_absence():
    """A member that is null is there."""
    assert fill({"name": None}).name is None


def test_no_body_is_not_an_empty_one():
    """Whoever has to know can tell them apart."""
    assert (fill(None).given, fill({}).given) == (False, True)


def test_unknown_members_and_parameters_are_passed_over():
    """Clients of later versions send them."""
    form = fill({"entityVersion": 5, "calm": "x", "given": False}, {"other": "x"}, {"calm": "x", "name": "x"})

    assert (form.calm, form.name, form.given) == ("not from outside", UNSET, True)


@pytest.mark.parametrize(
    ("members", "name"), [({"name": []}, "name"), ({"isBlocked": 1}, "isBlocked"), ({"name": "\0"}, "name")]
)
def test_a_member_of_the_wrong_type_is_named(members, name):
    """The error tells which one."""
    error = refused(lambda: Sample.read_body(members))

    assert (error.problem, error.detail) == (BAD_PARAMETER, {"parameter": name})


# --- numbers in path and query ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["abc", "1.5", "1e3", " 1", "9223372036854775808", "0x1", "١", "1,2"])
@pytest.mark.parametrize("place", ["id", "take"])
def test_what_must_be_a_number_and_is_none_is_not_found(place, text):
    """As if there were no such path."""
    values = {place: text}

    assert refused(lambda: Sample.check_numbers(values, values)).problem is NOT_FOUND


@pytest.mark.parametrize("text", ["0", "-1", "+5", "9223372036854775807", "-9223372036854775808"])
def test_numbers_pass(text):
    """Whether they are allowed is a later question."""
    Sample.check_numbers({"id": text}, {"take": text})


def test_texts_are_not_looked_at_as_numbers():
    """A guid may be any text, and members of the body are checked elsewhere."""
    Sample.check_numbers({"guid": "abc", "name": "abc"}, {"start": "abc"})


def test_an_empty_number_of_a_query_is_absent():
    """As ``?take=`` has it."""
    Sample.check_numbers({}, {"take": ""})

    assert fill(None, {}, {"take": ""}).take is None
    assert NUMBER_ASKED.convert("", "status") is None


# --- types ------------------------------------------------------------------------------------------------------------


def test_a_count_is_not_negative():
    """Neither ``take`` nor ``skip``; the error names it."""
    error = refused(lambda: fill(None, {}, {"take": "-1"}))

    assert (error.problem, error.detail) == (BAD_PARAMETER, {"parameter": "take"})
    assert COUNT.convert("0", "take") == 0


@pytest.mark.parametrize("text", ["ASC", "asc", "Desc", "DESC", ""])
def test_sort_orders_ignore_case(text):
    """It converts to whether it descends."""
    assert SORT_ORDER.convert(text, "sortOrder") is (text.upper() == "DESC")


@pytest.mark.parametrize("text", ["up", "ASC ", "ascending", "{order}"])
def test_another_sort_order_is_told_back(text):
    """In DeviceHive's words."""
    error = refused(lambda: SORT_ORDER.convert(text, "sortOrder"))

    assert (error.problem, error.text) == (BAD_SORT_ORDER, f"Unparseable sort order : {text}")


def test_a_sort_field_is_one_of_its_names():
    """Compared ignoring case, converted to lower case; anything else is refused."""
    type_ = one_of("ID", "DeviceClass")

    assert type_.convert("DEVICECLASS", "sortField") == "deviceclass"
    assert refused(lambda: type_.convert("guid", "sortField")).detail == {"parameter": "sortField"}
    assert type_.schema["enum"] == ["ID", "DeviceClass"]


@pytest.mark.parametrize("text", ["yesterday", "2015-07-24 09:57:04", "2015-13-01"])
def test_a_time_that_is_none_is_told_in_other_words_in_a_query(text):
    """``Unparseable timestamp`` there, ``Invalid request parameters`` in a body."""
    assert refused(lambda: TIME_ASKED.convert(text, "start")).problem is BAD_TIMESTAMP
    assert refused(lambda: TIMESTAMP.convert(text, "expirationDate")).problem is BAD_PARAMETER


def test_an_empty_time_is_absent():
    """In a query as in a body."""
    assert TIME_ASKED.convert("", "start") is None
    assert TIMESTAMP.convert("", "expirationDate") is None


def test_small_integers_have_their_bounds():
    """``offlineTimeout`` and the like have 32 bits."""
    assert INT32.convert("2147483647", "offlineTimeout") == 2**31 - 1
    assert INT32.convert(None, "offlineTimeout") is None
    assert refused(lambda: INT32.convert(2**31, "offlineTimeout")).problem is BAD_PARAMETER


def test_an_object_inside_a_body_is_taken_apart():
    """Null is null; anything but an object is refused, by the member's name."""
    type_ = an_object(lambda members: members["name"], {"name": TEXT})

    assert (type_.convert({"name": "a"}, "network"), type_.convert(None, "network")) == ("a", None)
    assert refused(lambda: type_.convert(5, "network")).detail == {"parameter": "network"}
    assert type_.schema == {"type": ["object", "null"], "properties": {"name": TEXT.schema}}


def test_the_order_of_a_list_is_looked_at_before_what_it_is_sorted_by():
    """DeviceHive tells of the first of two faults."""

    @dataclass(slots=True, kw_only=True, eq=False)
    class Listed(ListForm):
        sort_field: str | None = query(one_of("ID"))

    error = refused(lambda: Listed.fill({}, {}, {"sortField": "key", "sortOrder": "up"}))

    assert error.problem is BAD_SORT_ORDER


# --- describing -------------------------------------------------------------------------------------------------------


def test_the_fields_are_listed_in_their_order():
    """What is not from outside is not among them."""
    listed = entries(Sample)

    assert [(entry.name, entry.place) for entry in listed] == [
        ("id", Place.PATH),
        ("guid", Place.PATH),
        ("take", Place.QUERY),
        ("sortOrder", Place.QUERY),
        ("start", Place.QUERY),
        ("Repeat-Key", Place.HEADER),
        ("name", Place.BODY),
        ("isBlocked", Place.BODY),
        ("data", Place.BODY),
    ]
    assert [entry.name for entry in listed if entry.required] == ["name"]
    assert entries(Sample) is listed


def test_a_form_without_fields_is_empty():
    """Most operations take nothing."""
    assert entries(Form) == ()
    assert Form.fill({}, {}, {}).given is False


@pytest.mark.parametrize(("name", "wire"), [("take", "take"), ("sort_field", "sortField"), ("is_ok_now", "isOkNow")])
def test_names_are_written_as_the_wire_has_them(name, wire):
    """Unless a field says otherwise."""
    assert camel(name) == wire


def test_a_schema_is_made_nullable():
    """A plain type gets a second one, anything else an alternative."""
    assert nullable({"type": "string", "maxLength": 5}) == {"type": ["string", "null"], "maxLength": 5}
    assert nullable({"$ref": "#/x"}) == {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]}
