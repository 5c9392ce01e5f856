"""Every error that a peer can be told, as one catalogue.

A :class:`Problem` is a row of the catalogue: the code and text of DeviceHive's wire, and the stable ``reason`` that
extended mode adds. ``PROBLEM.error(...)`` makes the exception to raise; each surface turns it into its own shape in
one place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.names import CloseCode


class HubError(Exception):
    """Something that the peer asked for cannot be done; the text is meant for the peer.

    Attributes:
        problem: its row of the catalogue.
        code: the number on the wire, as HTTP has it.
        text: the sentence on the wire.
        reason: kebab-case and stable; extended mode shows it.
        detail: what refused, by name; extended mode shows it. Never what the caller may not know.
        retry_after_s: how long to wait before trying again, where waiting helps.
    """

    def __init__(
        self,
        problem: "Problem",
        text: str,
        *,
        detail: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(text)
        self.problem = problem
        self.code = problem.code
        self.reason = problem.reason
        self.text = text
        self.detail = dict(detail) if detail else None
        self.retry_after_s = retry_after_s

    def members(self, *, extended: bool) -> dict[str, Any]:
        """The members of an error response, beside the echoed ``action`` and ``requestId``."""
        members: dict[str, Any] = {"status": "error", "code": self.code, "error": self.text}
        if extended:
            members["reason"] = self.reason
            if self.detail:
                members["detail"] = self.detail
            if self.retry_after_s is not None:
                members["retryAfter"] = self.retry_after_s
        return members


class BadRequest(HubError):
    """400: the request itself is wrong; sending it again will not help."""


class Unauthorized(HubError):
    """401: not authenticated, or not allowed."""


class Forbidden(HubError):
    """403: understood, and refused."""


class NotFound(HubError):
    """404: absent or invisible; the two are never told apart."""


class Conflict(HubError):
    """409: somebody else changed the same thing."""


class LimitReached(HubError):
    """429: too much, too fast."""


class Unavailable(HubError):
    """500 and 503: our fault; nothing is known to have changed."""


class StoreUnavailable(Unavailable):
    """503: the database did not answer in time. Trying again is safe with an idempotency key."""


_CLASSES: dict[int, type[HubError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    409: Conflict,
    413: LimitReached,
    415: BadRequest,
    429: LimitReached,
    500: Unavailable,
    503: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A row of the error catalogue.

    Attributes:
        code: the number on the wire.
        text: the sentence on the wire, with ``{placeholders}``.
        reason: what extended mode calls it.
        when: when it occurs, for the reader of the catalogue.
    """

    code: int
    text: str
    reason: str
    when: str = field(compare=False)

    def error(
        self,
        *,
        detail: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        **values: object,
    ) -> HubError:
        """Make the exception to raise, with the placeholders of the text filled in from ``values``."""
        text = self.text.format(**values) if values else self.text
        error = StoreUnavailable if self is STORAGE else _CLASSES[self.code]
        return error(self, text, detail=detail, retry_after_s=retry_after_s)


MALFORMED = Problem(400, "Incorrect JSON syntax", "malformed", "the message is not one object of the codec")
BAD_PARAMETER = Problem(
    400, "Invalid request parameters", "bad-parameter", "a member is missing, or has the wrong type or form"
)
UNKNOWN_ACTION = Problem(404, "Unknown action requested: {action}", "unknown-action", "no such action")
NOT_PERMITTED = Problem(401, "Unauthorized", "not-permitted", "the role or the access key does not allow the action")
NOT_AUTHENTICATED = Problem(401, "Unauthorized", "not-authenticated", "nobody is authenticated")
BAD_CREDENTIALS = Problem(401, "Invalid credentials", "bad-credentials", "login, key or device key is wrong")
KEY_EXPIRED = Problem(401, "Unauthorized", "key-expired", "the access key of the connection has expired")
DEVICE_BLOCKED = Problem(
    403, "Device with such guid is blocked: {{{guid}}}", "not-permitted", "the connection's device is blocked"
)

GUID_REQUIRED = Problem(400, "Device guid is wrong or empty", "bad-parameter", "no device is named")
GUID_REFUSED = Problem(
    403, "Device guid is wrong or empty", "not-found", "notification/insert: no such device, or not visible"
)
DEVICE_NOT_FOUND = Problem(404, "Device with such guid = {guid} not found", "not-found", "absent or invisible")
DEVICE_NOT_YOURS = Problem(
    401, "Device with such guid = {guid} not found", "not-found", "device/save on a device that is not yours"
)
DEVICES_NOT_FOUND = Problem(
    403,
    "Devices with such guids wasn't found: {{[{guids}]}}",
    "not-found",
    "command/subscribe names a device that is absent or invisible",
)
NAMES_EMPTY = Problem(400, "Names field is required to be nonempty", "bad-parameter", "names without a name")

COMMAND_REQUIRED = Problem(400, "Command is required", "bad-parameter", "no command, or a command without a name")
COMMAND_ID_REQUIRED = Problem(400, "Command id is required", "bad-parameter", "an action on a command without its id")
NOT_CONNECTED = Problem(
    409, "Device is not connected", "not-connected", "a command that must not wait, and nobody takes it for the device"
)
NOT_CANCELLABLE = Problem(
    409,
    "Command with id = {id} is {state} already",
    "conflict",
    "command/cancel of one that was received, or expired",
)
COMMAND_NOT_FOUND = Problem(404, "Command with id = {id} not found", "not-found", "no such command of the device")

NOTIFICATION_NOT_FOUND = Problem(
    404, "Notification with id = {id} not found", "not-found", "no such notification of the device"
)
NOTIFICATION_REQUIRED = Problem(400, "Notification is required", "bad-parameter", "no notification, or no name")
DEVICE_WITHOUT_NETWORK = Problem(
    403,
    "Device with guid = {guid} is not connected to any network",
    "not-permitted",
    "the device has neither network, group nor user, so nobody could see the notification",
)
RESERVED_NAME = Problem(403, "Reserved notification name", "not-permitted", "only the hub inserts this name")
EQUIPMENT_PARAMETERS = Problem(
    400, "equipment notification must have parameters!", "bad-parameter", "equipment without parameters"
)
PARAMETERS_NOT_OBJECT = Problem(
    400, "'parameters' must be JSON Object!", "bad-parameter", "equipment, device-status: not an object"
)
EQUIPMENT_CODE = Problem(
    400,
    "'equipment' filed must be in notification parameters!",
    "bad-parameter",
    "equipment without its code",
)

DEVICE_EMPTY = Problem(400, "Device is empty", "bad-parameter", "device/save without device")
DEVICE_KEY_REQUIRED = Problem(400, "Device key is required", "bad-parameter", "device/save without a key")
DEVICE_NAME_REQUIRED = Problem(400, "Device name is required", "bad-parameter", "device.name is null")
DEVICE_CLASS_REQUIRED = Problem(400, "Device class is required", "bad-parameter", "device.deviceClass is null")
NETWORK_KEY = Problem(403, "Incorrect network key value", "not-permitted", "the network's key is missing or wrong")
NO_NETWORK_ACCESS = Problem(403, "No access to network!", "not-permitted", "the caller is not in the network")
NO_NETWORK_CREATION = Problem(
    403,
    "No permissions to create network!",
    "not-permitted",
    "the network is unknown, and the caller may not make one",
)
DUPLICATE_EQUIPMENT = Problem(
    403,
    "Duplicate equipment entry with code = {code} for device class with id : {id}",
    "conflict",
    "two pieces of equipment of a class share a code",
)
NETWORK_NOT_FOUND = Problem(404, "Network with id = {id} not found", "not-found", "absent or invisible")
NETWORK_EXISTS = Problem(
    403,
    "Network cannot be created. Network with such name already exists",
    "conflict",
    "REST: a new network with the name of another",
)
CLASS_NOT_FOUND = Problem(404, "DeviceClass with id = {id} not found", "not-found", "no such device class")
CLASS_EXISTS = Problem(
    403,
    "DeviceClass cannot be created. Device class with such name and version already exists",
    "conflict",
    "REST: a new class with name and version of another",
)
CLASS_PERMANENT = Problem(
    404,
    "Unable to update equipment on permanent device class.",
    "not-permitted",
    "REST: new equipment for a permanent class",
)
EQUIPMENT_NOT_FOUND = Problem(
    404,
    "Equipment with id = {id} not found for class with id {class_id}",
    "not-found",
    "the class has no such equipment",
)
ID_GIVEN = Problem(
    400, "Invalid request parameters. Id cannot be specified.", "bad-parameter", "REST: a new row that brings its id"
)
VALIDATION = Problem(400, "Error! Validation failed: \n{violations}", "bad-parameter", "a length or presence rule")
CONFLICT = Problem(
    409,
    "Posted data conflicts with internal state. Retry again if you are sure that data is correct. Consider not "
    "forcing server to do implicit operations, e.g. avoid device class or network updates or replacing equipment "
    "set during device registration.",
    "conflict",
    "somebody else changed the same thing at the same time",
)

USER_NOT_FOUND = Problem(404, "User not found", "not-found", "REST: no such user")
USER_NOT_YOURS = Problem(403, "User not found", "not-found", "REST: a client's key asks about somebody else")
CURRENT_USER_GONE = Problem(409, "Can not get current user.", "conflict", "REST: whoever asks was deleted meanwhile")
BAD_USER_ID = Problem(400, "Bad user identifier : {value}", "bad-parameter", "REST: neither a number nor current")
LOGIN_TAKEN = Problem(
    403, "User with such login already exists. Please, select another one", "conflict", "another user has the login"
)
IDENTITY_TAKEN = Problem(
    403,
    "User with such identity provider login already exists. Please, select another one",
    "conflict",
    "another user has the login of an identity provider",
)
PASSWORD_REQUIRED = Problem(400, "Password is required!", "bad-parameter", "the new password is empty or null")
OLD_PASSWORD_REQUIRED = Problem(
    403, "Old password is required!", "not-permitted", "a client changes the own password without the present one"
)
OLD_PASSWORD_WRONG = Problem(403, "Invalid credentials", "bad-credentials", "the old password is not the present one")
ROLE_REFUSED = Problem(403, "Invalid user role", "not-permitted", "a client changes the own role or status")
LAST_ADMINISTRATOR = Problem(
    403,
    "The last active administrator must stay",
    "not-permitted",
    "nobody would be left to manage the hub",
)
MEMBERSHIP_NOT_FOUND = Problem(
    404,
    "Network with id {network_id} for user with id {user_id} was not found",
    "not-found",
    "the user is not a member of the network",
)

KEY_NOT_FOUND = Problem(404, "Access key not found.", "not-found", "the user has no such access key")
KEY_TO_CHANGE_NOT_FOUND = Problem(404, "Access key not found", "not-found", "as before, when it is to be changed")
LABEL_REQUIRED = Problem(400, "Label is required!", "bad-parameter", "an access key without a label")
LABEL_TAKEN = Problem(
    403, "Access key with this label already exists", "conflict", "another key of the user has the label"
)
UNKNOWN_KEY_ACTION = Problem(400, "Unknown action!", "bad-parameter", "a key permission names an action that is none")
ARRAY_EXPECTED = Problem(400, "JSON array expected!", "bad-parameter", "a list of a key permission is no array")
GRANTS_TOO_MUCH = Problem(
    403,
    "Access key cannot grant more than it has",
    "not-permitted",
    "a key makes or changes a key with more rights or a longer life than its own",
)

PROVIDER_UNKNOWN = Problem(
    401, "Illegal provider name was found: {name}", "bad-credentials", "login: no such identity provider"
)
PROVIDER_NOT_ALLOWED = Problem(
    401,
    "Identity provider with id = {name} not allowed",
    "not-permitted",
    "login: the identity provider is not enabled",
)
LOGIN_INPUT = Problem(
    400, "Invalid or empty authorization request parameters", "bad-parameter", "login: something is missing"
)
CODE_REQUIRED = Problem(400, "Invalid or empty authorization code", "bad-parameter", "login by Github without a code")
PROVIDER_UNREACHABLE = Problem(
    503,
    "Exception has been caught during request to the identity provider API",
    "unavailable",
    "login: the identity provider does not answer",
)
IDENTITY_UNKNOWN = Problem(401, "User not found", "bad-credentials", "login: no user has this login of the provider")
USER_INACTIVE = Problem(
    401, "User is locked, disabled or deleted", "bad-credentials", "login by an identity provider: not active"
)
PROVIDER_REFUSED = Problem(
    401,
    "Exception has been caught during request to the identity provider API",
    "bad-credentials",
    "login: the identity provider does not know the token",
)
PROVIDER_DENIED = Problem(
    403,
    "OAuth access token for provider {name} verification failed",
    "bad-credentials",
    "login: the identity provider says that something is wrong, or vouches for no e-mail",
)
PROVIDER_OTHER_AUDIENCE = Problem(
    401,
    "OAuth access token for provider {name} verification failed",
    "bad-credentials",
    "login: the token was made for another application",
)
PROVIDER_NO_TOKEN = Problem(
    401,
    "Getting OAuth access token for provider {name} failed: {answer}",
    "bad-credentials",
    "login: the identity provider exchanges the code for nothing",
)

OAUTH_CLIENT_NOT_FOUND = Problem(404, "OAuthClient with id {id} not found", "not-found", "no such OAuth client")
OAUTH_CLIENT_TO_CHANGE_NOT_FOUND = Problem(
    404, "OAuth client with id = {id} not found", "not-found", "as before, when it is to be changed"
)
OAUTH_ID_TAKEN = Problem(
    403, "OAuth client with such OAuthID already exists!", "conflict", "another OAuth client has the id"
)
CLIENT_NULL = Problem(400, "Client cannot be null!", "bad-parameter", "a grant is to lose its OAuth client")
GRANT_NOT_FOUND = Problem(404, "Grant with id = {id} not found", "not-found", "the user has no such grant")
GRANT_INCOMPLETE = Problem(
    400, "Validation failed with following violations: {violations}", "bad-parameter", "a grant lacks something"
)
BAD_ARGUMENT = Problem(400, "Illegal argument: {value}", "bad-parameter", "a type of grants in the query is none")
BAD_GRANT_TYPE = Problem(400, "Invalid grant type!", "bad-parameter", "a token is asked for in an unknown way")
CLIENT_ID_REQUIRED = Problem(
    400, "Client id is required!", "bad-parameter", "a code is exchanged by nobody in particular"
)
SCOPE_REQUIRED = Problem(400, "Scope field is required", "bad-parameter", "a token without a scope is asked for")
BAD_CODE = Problem(
    401, "Invalid or empty authorization code", "bad-credentials", "a code that is none of the client's, or was used"
)
BAD_REDIRECT_URI = Problem(
    401, 'Invalid "redirect_uri"', "bad-credentials", "a code is exchanged with another address than it was made for"
)
GRANT_EXPIRED = Problem(401, "Expired grant", "bad-credentials", "a code is exchanged after more than ten minutes")
USER_PASSWORD_WRONG = Problem(
    403, "Invalid credentials", "bad-credentials", "an OAuth client brings a wrong password of a user"
)
INVALID = Problem(400, "{text}", "bad-parameter", "a length or presence rule of what REST answers with a null error")

NOT_FOUND = Problem(404, "HTTP 404 Not Found", "not-found", "REST: no such path, or a number is none")
WRONG_METHOD = Problem(405, "HTTP 405 Method Not Allowed", "bad-parameter", "REST: the path has no such method")
WRONG_TYPE = Problem(415, "HTTP 415 Unsupported Media Type", "malformed", "REST: the body is not application/json")
TOO_LARGE = Problem(413, "Request body too large: at most {value} bytes", "limit", "REST: the body is over a limit")
BAD_TIMESTAMP = Problem(400, "Unparseable timestamp", "bad-parameter", "REST: a time in the query is none")
BAD_SORT_ORDER = Problem(
    400, "Unparseable sort order : {order}", "bad-parameter", "REST: sortOrder is neither ASC nor DESC"
)
BAD_WAIT = Problem(
    400,
    "waitTimeout must be from 0 to {most} seconds",
    "bad-parameter",
    "REST: a long poll asks to wait too long, or for less than nothing",
)
FOREIGN_ORIGIN = Problem(
    403, "Origin not allowed", "not-permitted", "REST: a page of another origin changes something with stored Basic"
)

LIMIT_REACHED = Problem(400, "Limit reached: {value} {what}", "limit", "a limit of the connection")
TOO_MANY = Problem(429, "Too many requests: at most {value} {what}", "rate", "a rate, or open commands of a device")
TOO_MANY_CONNECTIONS = Problem(
    503, "Too many connections: at most {value} {what}", "limit", "an address, a user or the process has too many"
)
TURNED_AWAY = Problem(
    503, "{text}", "overload", "REST: an event stream while the hub takes no more connections, or not so fast"
)
INTERNAL = Problem(500, "Internal server error", "internal", "anything unexpected; the hub's log has more")
OVERLOAD = Problem(503, "The hub is busy, try again", "overload", "a bounded queue of the hub is full")
STORAGE = Problem(503, "Storage is not available, try again", "unavailable", "the database did not answer in time")

CATALOGUE: tuple[Problem, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Problem))
"""Every problem there is, in the order above."""


NAMES: tuple[str, ...] = tuple(
    name.lower().replace("_", "-") for name, value in list(globals().items()) if isinstance(value, Problem)
)
"""What the error page calls each of them."""

REMEDIES: dict[str, str] = {
    "malformed": "Send one JSON object a message (on hub.1.msgpack one MessagePack map), within the limit that "
    "detail names.",
    "bad-parameter": "Correct the member that detail names; the documents tell what it may be. Repeating is in vain.",
    "unknown-action": "Use an action of the AsyncAPI document, letter by letter.",
    "not-authenticated": "Authenticate first: in the handshake, by authenticate, or by the headers of the request.",
    "bad-credentials": "Check login and password, access key, or guid and device key. Access keys count on the client "
    "endpoint, device keys on the device endpoint. Wrong tries are slowed down.",
    "key-expired": "Ask whoever made the access key for another one.",
    "not-permitted": "Let somebody who may grant it: the permission that detail names, membership of the network, or "
    "another role.",
    "not-found": "Check the guid or id, and that the caller may see it: what is invisible is as good as absent.",
    "not-connected": "Try again when the device is connected, or let the command wait for it: leave queue out.",
    "conflict": "Read what is there now, and ask again with that in mind.",
    "limit": "Stay below the value in detail; whoever runs the hub can raise the setting of that name.",
    "rate": "Wait as long as retryAfter says, then go on more slowly.",
    "overload": "Wait as long as retryAfter says, or a second with jitter. An insert with an idempotencyKey is safe to "
    "repeat.",
    "unavailable": "Try again in a few seconds. An insert with an idempotencyKey is safe to repeat.",
    "internal": "Tell whoever runs the hub, with the time: its log has the cause. Nothing is known to have changed.",
}
"""What to do about an error, by its reason."""


@dataclass(frozen=True, slots=True)
class Close:
    """Why a connection is closed with a code, and what its peer does then."""

    when: str
    remedy: str


CLOSES: dict[CloseCode, Close] = {
    CloseCode.NORMAL: Close("the peer closed", "Nothing."),
    CloseCode.PROTOCOL_ERROR: Close("a frame breaks RFC 6455", "Mend the client."),
    CloseCode.WRONG_FRAME: Close(
        "a binary message on a JSON connection, or text on hub.1.msgpack", "Send the kind that was agreed on."
    ),
    CloseCode.INVALID_TEXT: Close("a text message is not UTF-8", "Mend the client."),
    CloseCode.POLICY: Close(
        "a rate over its limit for too long, or a flood of pings", "Connect again later, and send more slowly."
    ),
    CloseCode.TOO_BIG: Close("a message over the limit of size, or in too many fragments", "Send less at once."),
    CloseCode.NO_SIGN_OF_LIFE: Close(
        "nothing came after a ping, or the hub failed", "Connect again, with jitter, and resume."
    ),
    CloseCode.RESTART: Close(
        "the hub shuts down or is replaced", "Connect again after reconnectAfter seconds, or with jitter, and resume."
    ),
    CloseCode.TRY_LATER: Close("the hub is overloaded, or cannot read its log", "Connect again later, and resume."),
    CloseCode.SLOW_READER: Close(
        "more waits for this peer than it may", "Read faster, subscribe to less, or ask for another overflow; resume."
    ),
    CloseCode.UNAUTHENTICATED: Close(
        "not authenticated in time, or the key, user or device is gone, locked, blocked or expired",
        "Authenticate with something that is valid.",
    ),
    CloseCode.REPLACED: Close(
        "a newer connection of the same device took its place", "Let only one process speak for a device."
    ),
}
"""Every code that the hub closes with."""


def bad_parameter(name: str) -> HubError:
    """The error for a member that is missing, or has the wrong type or form."""
    return BAD_PARAMETER.error(detail={"parameter": name})


def limit_reached(value: int, what: str, *, name: str) -> HubError:
    """The error at a limit: ``what`` completes the sentence, ``name`` is the limit's stable name."""
    return LIMIT_REACHED.error(value=value, what=what, detail={"limit": name, "value": value})


def violation(name: str, value: object, text: str) -> HubError:
    """The error for a stored member that breaks a length or presence rule, in DeviceHive's words."""
    return violations([(name, value, text)])


def violations(broken: Sequence[tuple[str, object, str]]) -> HubError:
    """The same for several: name, value and what is wrong with it of each."""
    texts = [
        f"On property {name} (value: {'null' if value is None else value}): {text} ;" for name, value, text in broken
    ]
    return VALIDATION.error(violations="\n".join(texts), detail={"parameter": broken[0][0]})
