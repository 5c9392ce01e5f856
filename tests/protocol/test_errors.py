"""The error catalogue: DeviceHive's codes and texts to the letter, and what extended mode adds."""

import re
import string

import pytest

from protocol import errors
from protocol.errors import CATALOGUE, HubError

WIRE = [
    (errors.MALFORMED, {}, 400, "Incorrect JSON syntax"),
    (errors.BAD_PARAMETER, {}, 400, "Invalid request parameters"),
    (errors.UNKNOWN_ACTION, {"action": "token"}, 404, "Unknown action requested: token"),
    (errors.NOT_PERMITTED, {}, 401, "Unauthorized"),
    (errors.NOT_AUTHENTICATED, {}, 401, "Unauthorized"),
    (errors.KEY_EXPIRED, {}, 401, "Unauthorized"),
    (errors.BAD_CREDENTIALS, {}, 401, "Invalid credentials"),
    (errors.DEVICE_BLOCKED, {"guid": "lamp"}, 403, "Device with such guid is blocked: {lamp}"),
    (errors.GUID_REQUIRED, {}, 400, "Device guid is wrong or empty"),
    (errors.GUID_REFUSED, {}, 403, "Device guid is wrong or empty"),
    (errors.DEVICE_NOT_FOUND, {"guid": "lamp"}, 404, "Device with such guid = lamp not found"),
    (errors.DEVICE_NOT_YOURS, {"guid": "lamp"}, 401, "Device with such guid = lamp not found"),
    (errors.DEVICES_NOT_FOUND, {"guids": "a, b"}, 403, "Devices with such guids wasn't found: {[a, b]}"),
    (errors.NAMES_EMPTY, {}, 400, "Names field is required to be nonempty"),
    (errors.COMMAND_REQUIRED, {}, 400, "Command is required"),
    (errors.COMMAND_ID_REQUIRED, {}, 400, "Command id is required"),
    (errors.COMMAND_NOT_FOUND, {"id": 7}, 404, "Command with id = 7 not found"),
    (errors.NOT_CONNECTED, {}, 409, "Device is not connected"),
    (errors.NOT_CANCELLABLE, {"id": 7, "state": "done"}, 409, "Command with id = 7 is done already"),
    (errors.NOTIFICATION_REQUIRED, {}, 400, "Notification is required"),
    (
        errors.DEVICE_WITHOUT_NETWORK,
        {"guid": "lamp"},
        403,
        "Device with guid = lamp is not connected to any network",
    ),
    (errors.RESERVED_NAME, {}, 403, "Reserved notification name"),
    (errors.EQUIPMENT_PARAMETERS, {}, 400, "equipment notification must have parameters!"),
    (errors.PARAMETERS_NOT_OBJECT, {}, 400, "'parameters' must be JSON Object!"),
    (errors.EQUIPMENT_CODE, {}, 400, "'equipment' filed must be in notification parameters!"),
    (errors.DEVICE_EMPTY, {}, 400, "Device is empty"),
    (errors.DEVICE_KEY_REQUIRED, {}, 400, "Device key is required"),
    (errors.DEVICE_NAME_REQUIRED, {}, 400, "Device name is required"),
    (errors.DEVICE_CLASS_REQUIRED, {}, 400, "Device class is required"),
    (errors.NETWORK_KEY, {}, 403, "Incorrect network key value"),
    (errors.NO_NETWORK_ACCESS, {}, 403, "No access to network!"),
    (errors.NO_NETWORK_CREATION, {}, 403, "No permissions to create network!"),
    (
        errors.DUPLICATE_EQUIPMENT,
        {"code": "LED", "id": 4},
        403,
        "Duplicate equipment entry with code = LED for device class with id : 4",
    ),
    (
        errors.CONFLICT,
        {},
        409,
        "Posted data conflicts with internal state. Retry again if you are sure that data is correct. Consider not "
        "forcing server to do implicit operations, e.g. avoid device class or network updates or replacing equipment "
        "set during device registration.",
    ),
    (
        errors.LIMIT_REACHED,
        {"value": 256, "what": "subscriptions per connection"},
        400,
        "Limit reached: 256 subscriptions per connection",
    ),
    (errors.TOO_MANY, {"value": 9, "what": "a second"}, 429, "Too many requests: at most 9 a second"),
    (
        errors.TOO_MANY_CONNECTIONS,
        {"value": 9, "what": "per user"},
        503,
        "Too many connections: at most 9 per user",
    ),
    (errors.USER_NOT_FOUND, {}, 404, "User not found"),
    (errors.USER_NOT_YOURS, {}, 403, "User not found"),
    (errors.CURRENT_USER_GONE, {}, 409, "Can not get current user."),
    (errors.BAD_USER_ID, {"value": "xyz"}, 400, "Bad user identifier : xyz"),
    (errors.LOGIN_TAKEN, {}, 403, "User with such login already exists. Please, select another one"),
    (
        errors.IDENTITY_TAKEN,
        {},
        403,
        "User with such identity provider login already exists. Please, select another one",
    ),
    (errors.PASSWORD_REQUIRED, {}, 400, "Password is required!"),
    (errors.OLD_PASSWORD_REQUIRED, {}, 403, "Old password is required!"),
    (errors.OLD_PASSWORD_WRONG, {}, 403, "Invalid credentials"),
    (errors.ROLE_REFUSED, {}, 403, "Invalid user role"),
    (errors.LAST_ADMINISTRATOR, {}, 403, "The last active administrator must stay"),
    (
        errors.MEMBERSHIP_NOT_FOUND,
        {"network_id": 3, "user_id": 2},
        404,
        "Network with id 3 for user with id 2 was not found",
    ),
    (errors.NETWORK_NOT_FOUND, {"id": 3}, 404, "Network with id = 3 not found"),
    (errors.KEY_NOT_FOUND, {}, 404, "Access key not found."),
    (errors.KEY_TO_CHANGE_NOT_FOUND, {}, 404, "Access key not found"),
    (errors.LABEL_REQUIRED, {}, 400, "Label is required!"),
    (errors.LABEL_TAKEN, {}, 403, "Access key with this label already exists"),
    (errors.UNKNOWN_KEY_ACTION, {}, 400, "Unknown action!"),
    (errors.ARRAY_EXPECTED, {}, 400, "JSON array expected!"),
    (errors.GRANTS_TOO_MUCH, {}, 403, "Access key cannot grant more than it has"),
    (errors.PROVIDER_UNKNOWN, {"name": "Yahoo"}, 401, "Illegal provider name was found: Yahoo"),
    (errors.PROVIDER_NOT_ALLOWED, {"name": "Google"}, 401, "Identity provider with id = Google not allowed"),
    (errors.LOGIN_INPUT, {}, 400, "Invalid or empty authorization request parameters"),
    (errors.CODE_REQUIRED, {}, 400, "Invalid or empty authorization code"),
    (
        errors.PROVIDER_UNREACHABLE,
        {},
        503,
        "Exception has been caught during request to the identity provider API",
    ),
    (errors.IDENTITY_UNKNOWN, {}, 401, "User not found"),
    (errors.USER_INACTIVE, {}, 401, "User is locked, disabled or deleted"),
    (errors.INVALID, {"text": "too long"}, 400, "too long"),
    (errors.NETWORK_EXISTS, {}, 403, "Network cannot be created. Network with such name already exists"),
    (errors.CLASS_NOT_FOUND, {"id": 7}, 404, "DeviceClass with id = 7 not found"),
    (
        errors.CLASS_EXISTS,
        {},
        403,
        "DeviceClass cannot be created. Device class with such name and version already exists",
    ),
    (errors.CLASS_PERMANENT, {}, 404, "Unable to update equipment on permanent device class."),
    (
        errors.EQUIPMENT_NOT_FOUND,
        {"id": 7, "class_id": 4},
        404,
        "Equipment with id = 7 not found for class with id 4",
    ),
    (errors.ID_GIVEN, {}, 400, "Invalid request parameters. Id cannot be specified."),
    (errors.NOT_FOUND, {}, 404, "HTTP 404 Not Found"),
    (errors.WRONG_METHOD, {}, 405, "HTTP 405 Method Not Allowed"),
    (errors.WRONG_TYPE, {}, 415, "HTTP 415 Unsupported Media Type"),
    (errors.TOO_LARGE, {"value": 9}, 413, "Request body too large: at most 9 bytes"),
    (errors.BAD_TIMESTAMP, {}, 400, "Unparseable timestamp"),
    (errors.BAD_SORT_ORDER, {"order": "up"}, 400, "Unparseable sort order : up"),
    (errors.BAD_WAIT, {"most": 60}, 400, "waitTimeout must be from 0 to 60 seconds"),
    (errors.NOTIFICATION_NOT_FOUND, {"id": 5}, 404, "Notification with id = 5 not found"),
    (errors.FOREIGN_ORIGIN, {}, 403, "Origin not allowed"),
    (errors.INTERNAL, {}, 500, "Internal server error"),
    (errors.OVERLOAD, {}, 503, "The hub is busy, try again"),
    (errors.STORAGE, {}, 503, "Storage is not available, try again"),
]


@pytest.mark.parametrize(("problem", "values", "code", "text"), WIRE, ids=lambda value: getattr(value, "reason", None))
def test_an_error_has_devicehives_code_and_text(problem, values, code, text):
    """Old clients compare texts, odd spelling included."""
    error = problem.error(**values)

    assert {"status": "error", "code": code, "error": text} == error.members(extended=False)
    assert text == str(error)


def test_every_text_without_values_has_no_placeholder():
    """What the table above does not fill in would go out with its braces."""
    listed = {id(problem) for problem, *_ in WIRE}

    for problem in CATALOGUE:
        names = [name for _, name, *_ in string.Formatter().parse(problem.text) if name is not None]
        assert not names or id(problem) in listed or problem is errors.VALIDATION, problem


def test_an_error_puts_no_value_of_the_peer_into_its_pattern():
    """A guid with braces in it is text like any other."""
    assert errors.DEVICE_NOT_FOUND.error(guid="{id}").text == "Device with such guid = {id} not found"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (429, errors.LimitReached),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
def test_the_code_decides_the_class(code, expected):
    """Who catches one class catches every problem with its code."""
    assert all(isinstance(problem.error(), expected) for problem in CATALOGUE if problem.code == code)


def test_only_a_silent_database_is_an_unavailable_store():
    """Whether trying again is safe is told by the class, and being busy is something else."""
    assert [problem for problem in CATALOGUE if isinstance(problem.error(), errors.StoreUnavailable)] == [
        errors.STORAGE
    ]


def test_reasons_are_those_that_clients_were_told():
    """A program may branch on a reason, so the list is closed and in kebab case."""
    reasons = {problem.reason for problem in CATALOGUE}

    assert {
        "malformed",
        "unknown-action",
        "bad-parameter",
        "not-authenticated",
        "bad-credentials",
        "key-expired",
        "not-permitted",
        "not-found",
        "conflict",
        "limit",
        "rate",
        "overload",
        "unavailable",
        "internal",
        "not-connected",
    } == reasons
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", reason) for reason in reasons)


def test_extended_mode_says_what_refused_and_when_to_come_back():
    """Beside the old members: reason, detail, and a time to wait."""
    error = errors.TOO_MANY.error(value=9, what="a second", detail={"limit": "rate", "value": 9}, retry_after_s=1.5)

    assert error.members(extended=True) == {
        "status": "error",
        "code": 429,
        "error": "Too many requests: at most 9 a second",
        "reason": "rate",
        "detail": {"limit": "rate", "value": 9},
        "retryAfter": 1.5,
    }


def test_extended_mode_leaves_out_what_there_is_not():
    """No empty detail, and no time to wait where waiting does not help."""
    assert (errors.NOT_PERMITTED.error(detail={}).members(extended=True)) == {
        "status": "error",
        "code": 401,
        "error": "Unauthorized",
        "reason": "not-permitted",
    }


def test_waiting_no_time_at_all_is_said():
    """Zero seconds is an answer; only None is none."""
    assert errors.STORAGE.error(retry_after_s=0).members(extended=True)["retryAfter"] == 0


def test_a_detail_is_the_errors_own():
    """What the raiser does with its dictionary afterwards does not change the error."""
    detail = {"parameter": "names"}
    error = errors.BAD_PARAMETER.error(detail=detail)

    detail["parameter"] = "other"

    assert error.detail == {"parameter": "names"}


@pytest.mark.parametrize(
    ("error", "text", "detail"),
    [
        (errors.bad_parameter("names"), "Invalid request parameters", {"parameter": "names"}),
        (
            errors.limit_reached(256, "subscriptions per connection", name="subscriptions-per-connection"),
            "Limit reached: 256 subscriptions per connection",
            {"limit": "subscriptions-per-connection", "value": 256},
        ),
        (
            errors.violation("name", "", "size must be between 1 and 128"),
            "Error! Validation failed: \nOn property name (value: ): size must be between 1 and 128 ;",
            {"parameter": "name"},
        ),
        (
            errors.violations([("login", None, "it must be there"), ("role", 7, "there is no such role")]),
            "Error! Validation failed: \nOn property login (value: null): it must be there ;\n"
            "On property role (value: 7): there is no such role ;",
            {"parameter": "login"},
        ),
    ],
)
def test_shorthands_name_what_refused(error, text, detail):
    """The limit, member or property is in the detail, so a program can tell them apart."""
    assert (text, detail) == (error.text, error.detail)


def test_every_error_is_for_the_peer():
    """One class to catch at the edge; anything else is a defect of ours."""
    assert all(isinstance(problem.error(), HubError) for problem in CATALOGUE)
