"""Users, access keys and logins: what requests hold, which rules hold, and what answers show."""

import pytest

from protocol import account_views as views
from protocol.account_forms import (
    CreateKey,
    CreateUser,
    ListKeys,
    ListUsers,
    Login,
    PutConfiguration,
    SetConfiguration,
    UpdateKey,
    UpdateUser,
)
from protocol.account_views import Member, ShownKey
from protocol.entities import KeyPermission
from protocol.errors import ARRAY_EXPECTED, BAD_PARAMETER, INVALID, UNKNOWN_KEY_ACTION, HubError
from protocol.forms import Place, entries
from protocol.key_permissions import read_permissions
from protocol.names import KeyType, UserRole, UserStatus
from protocol.requests import UNSET, or_none
from protocol.rules import check_label
from tests.builders import access_key, administrator, network, permission, user


def refused(work):
    with pytest.raises(HubError) as caught:
        work()
    return caught.value


def read(form, members, *paths, **queries):
    """A form of what a request holds; ``paths`` in the order of the form."""
    names = [entry.name for entry in entries(form) if entry.place is Place.PATH]
    return form.fill(form.read_body(members), dict(zip(names, paths, strict=True)), queries)


# --- users ------------------------------------------------------------------------------------------------------------


def test_a_user_is_read():
    """Numbers stand for role and status; what is absent is UNSET, what is null is None."""
    form = read(UpdateUser, {"login": " ann ", "role": "1", "status": 2, "data": {"a": 1}, "oldPassword": None}, "5")

    assert (form.user_id, form.login, form.role, form.status) == (5, " ann ", UserRole.CLIENT, UserStatus.DISABLED)
    assert (form.data, form.old_password, form.password) == ({"a": 1}, None, UNSET)
    assert read(UpdateUser, {"role": None}, "5").role is None


@pytest.mark.parametrize("members", [{"role": 2}, {"role": "ADMIN"}, {"status": 4}, {"status": -1}, {"role": 0.5}])
def test_a_role_or_status_that_is_none_is_refused(members):
    """The name of the member is told."""
    error = refused(lambda: CreateUser.read_body(members))

    assert (error.problem, error.detail) == (BAD_PARAMETER, {"parameter": next(iter(members))})


def test_identities_that_are_given_are_trimmed():
    """Blank and null are none; what is absent is not there."""
    form = read(CreateUser, {"googleLogin": " a@b ", "facebookLogin": "  ", "githubLogin": None})

    assert form.identities == {"google_login": "a@b", "facebook_login": None, "github_login": None}
    assert read(CreateUser, {}).identities == {}


def test_lists_name_their_order():
    """Ignoring case; the patterns are passed on."""
    users = read(ListUsers, None, loginPattern="a%", role="7", sortField="LOGIN", sortOrder="desc", take="3")
    keys = read(ListKeys, None, "current", type="1", labelPattern="_", sortField="id")

    assert (users.login_pattern, users.role, users.sort_field, users.descending) == ("a%", 7, "login", True)
    assert (users.take, users.skip, users.login, users.status) == (3, None, None, None)
    assert (keys.user, keys.type, keys.label_pattern, keys.sort_field) == ("current", 1, "_", "id")


def test_secrets_are_not_shown():
    """A form that ends up in a log or an error tells who, not with what."""
    forms = [
        read(Login, {"providerName": "password", "login": "ann", "password": "s3cret", "code": "s3cret"}),
        read(Login, {"access_token": "s3cret", "redirect_uri": "s3cret"}),
        read(CreateUser, {"login": "ann", "password": "s3cret"}),
        read(UpdateUser, {"login": "ann", "password": "s3cret", "oldPassword": "s3cret"}, "5"),
        ShownKey(access_key(), "s3cret"),
        PutConfiguration(name="google.identity.client.secret", text=b"s3cret"),
        SetConfiguration(name="google.identity.client.secret", value="s3cret"),
    ]

    assert "s3cret" not in repr(forms)
    assert "ann" in repr(forms)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"login": "ann", "role": 1, "status": 0, "google_login": None, "github_login": "x" * 64}, []),
        ({"login": UNSET, "facebook_login": UNSET}, []),
        ({"login": "x" * 64}, []),
        ({"login": None}, ["On property login (value: null): login field cannot be null. ;"]),
        (
            {"login": "", "role": None, "status": None},
            [
                "On property login (value: ): Field cannot be empty. The length of login should not be more than 128 "
                "symbols. ;",
                "On property role (value: null): role field cannot be null. ;",
                "On property status (value: null): status field cannot be null. ;",
            ],
        ),
        (
            {"login": "x" * 65},
            [
                f"On property login (value: {'x' * 65}): Field cannot be empty. The length of login should not be more "
                "than 128 symbols. ;"
            ],
        ),
        (
            {"facebook_login": "y" * 65},
            [
                f"On property facebookLogin (value: {'y' * 65}): The length of facebookLogin should not be more than "
                "64 symbols. ;"
            ],
        ),
    ],
)
def test_a_user_keeps_the_rules(values, told):
    """All that are broken are told, a line each."""
    if not told:
        CreateUser().check(**values)
        return

    assert refused(lambda: CreateUser().check(**values)).text == "\n".join(["Error! Validation failed: ", *told])


def test_a_user_looks_different_from_each_side():
    """In a list without networks, by id with wrapped ones, to oneself with plain ones and all the rest."""
    ann = administrator(last_login_ms=0, google_login="ann@example.com", data=[1])
    home = network(3, key="s3cret")
    plain = {"id": 3, "key": "s3cret", "name": "net-3", "description": None}
    everybody = {"id": 1, "login": "admin", "role": 0, "status": 0, "lastLogin": "1970-01-01T00:00:00.000"}
    personal = {"googleLogin": "ann@example.com", "facebookLogin": None, "githubLogin": None, "data": [1]}

    assert views.USER_IN_LIST(ann) == everybody | personal
    assert views.USER(Member(ann, [home])) == everybody | {"networks": [{"network": plain}]}
    assert views.CURRENT_USER(Member(ann, [home])) == everybody | personal | {"networks": [plain]}
    assert views.CREATED_USER(user()) == {
        "id": 2,
        "lastLogin": None,
        "googleLogin": None,
        "facebookLogin": None,
        "githubLogin": None,
        "data": None,
    }


# --- access keys ------------------------------------------------------------------------------------------------------


def test_a_key_is_read():
    """Permissions are left for later, when the label is known to be right."""
    members = {"label": "x", "expirationDate": "2035-01-01", "type": 2, "permissions": "whatever"}
    form = read(CreateKey, members, "current")

    assert (form.user, form.label, form.type, form.permissions) == ("current", "x", KeyType.OAUTH, "whatever")
    assert form.expires_ms == 2_051_222_400_000


@pytest.mark.parametrize(("sent", "end"), [("", UNSET), (None, None), (0, 0)])
def test_an_empty_text_does_not_make_a_key_live_for_ever(sent, end):
    """It says nothing of the end; null says that there is none."""
    assert read(UpdateKey, {"expirationDate": sent}, "current", "5").expires_ms == end


def test_permissions_are_kept_as_they_were_sent():
    """With numbers for texts, texts for numbers, and null."""
    sent = {
        "domains": ["example.com", None],
        "subnets": None,
        "actions": ["GetDevice"],
        "networkIds": ["1", 2, None],
        "deviceGuids": [5, "lamp", 1.5],
        "id": 9,
    }
    [read_one, nothing] = read_permissions([sent, {}])

    assert read_one.view() == {name: value for name, value in sent.items() if name != "id"}
    assert nothing == KeyPermission()
    assert read_permissions([]) == ()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, BAD_PARAMETER),
        (UNSET, BAD_PARAMETER),
        ({}, BAD_PARAMETER),
        ([None], BAD_PARAMETER),
        (["GetDevice"], BAD_PARAMETER),
        ([{"actions": "GetDevice"}], ARRAY_EXPECTED),
        ([{"domains": {}}], ARRAY_EXPECTED),
        ([{"subnets": 0}], ARRAY_EXPECTED),
        ([{"networkIds": False}], ARRAY_EXPECTED),
        ([{"deviceGuids": ""}], ARRAY_EXPECTED),
        ([{"actions": ["getDevice"]}], UNKNOWN_KEY_ACTION),
        ([{"actions": [None]}], UNKNOWN_KEY_ACTION),
        ([{"actions": [["GetDevice"]]}], UNKNOWN_KEY_ACTION),
        ([{"networkIds": ["one"]}], BAD_PARAMETER),
        ([{"networkIds": [1.5]}], BAD_PARAMETER),
        ([{"deviceGuids": [["lamp"]]}], BAD_PARAMETER),
        ([{"domains": ["\0"]}], BAD_PARAMETER),
    ],
)
def test_permissions_that_are_none_are_refused(value, problem):
    """Each in DeviceHive's words."""
    assert refused(lambda: read_permissions(value)).problem is problem


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("x" * 64, None),
        (None, "label field cannot be null."),
        ("", "Field cannot be empty. The length of label should not be more than 64 symbols."),
        ("x" * 65, "Field cannot be empty. The length of label should not be more than 64 symbols."),
    ],
)
def test_a_label_keeps_the_rules(label, told):
    """One to 64 characters."""
    if told is None:
        check_label(label)
        return
    error = refused(lambda: check_label(label))

    assert (error.problem, error.text) == (INVALID, told)


def test_a_key_is_shown_with_its_permissions():
    """Whole when it is made; in lists, what may be shown of it."""
    key = access_key(permission(device_guids=["lamp"]), expires_ms=0, start="abcdef")
    lists = {"domains": None, "subnets": None, "actions": None, "networkIds": None, "deviceGuids": ["lamp"]}

    assert views.KEY(ShownKey(key, key.masked)) == {
        "id": 7,
        "label": "a key",
        "key": "abcdef" + 38 * "*",
        "expirationDate": "1970-01-01T00:00:00.000",
        "type": 0,
        "permissions": [lists],
    }
    assert views.CREATED_KEY(ShownKey(key, "whole")) == {"id": 7, "key": "whole"}


def test_a_network_of_a_user_is_wrapped():
    """By itself it has an object around it."""
    shown = {"id": 1, "key": None, "name": "net-1", "description": None}

    assert views.USER_NETWORK(network()) == {"network": shown}


# --- login and configuration ------------------------------------------------------------------------------------------


def test_a_login_is_read():
    """Two of its members are written as OAuth writes them."""
    form = read(Login, {"providerName": "Google", "redirect_uri": "r", "access_token": "t", "code": 5})

    assert (form.provider_name, form.redirect_uri, form.access_token, form.code) == ("Google", "r", "t", "5")
    assert (form.login, form.password) == (None, None)


def test_a_configuration_value_is_the_whole_body():
    """As UTF-8 text, blanks included."""
    assert PutConfiguration(name="x", text="größer ".encode()).value == "größer "
    assert SetConfiguration(name="x", value="y").value == "y"


@pytest.mark.parametrize("text", [b"\xff", b"\0"])
def test_a_configuration_value_is_a_text(text):
    """Bytes that are none are refused."""
    assert refused(lambda: PutConfiguration(name="x", text=text).value).problem is BAD_PARAMETER


def test_what_was_not_said_of_something_new_is_null():
    """Anything else is what it is, also what is false."""
    assert [or_none(UNSET), or_none(None), or_none(0), or_none("")] == [None, None, 0, ""]
