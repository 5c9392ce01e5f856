"""The login throttle: whoever guesses waits, and nobody else does."""

from ipaddress import ip_address

import pytest

from hub.core.access import Address
from hub.core.throttle import LONGEST_WAIT_S, REMEMBERED, LoginThrottle
from protocol.names import LOGIN_MAX

HERE = ip_address("192.0.2.1")
ELSEWHERE = ip_address("198.51.100.1")
NOW_S = 1_800_000_000.0


def fail(
    throttle: LoginThrottle, times: int = 5, login: str = "alice", address: Address | None = HERE, at_s: float = NOW_S
) -> None:
    """So many wrong passwords at once."""
    for _ in range(times):
        throttle.failed(login, address, at_s)


def waiting_s(
    throttle: LoginThrottle, login: str = "alice", address: Address | None = HERE, at_s: float = NOW_S
) -> int:
    """How many whole seconds an attempt has to wait."""
    return next(wait for wait in range(1_000) if not throttle.waits(login, address, at_s + wait))


# --- an account -------------------------------------------------------------------------------------------------------


def test_four_wrong_passwords_cost_nothing():
    """People mistype."""
    throttle = LoginThrottle()

    fail(throttle, times=4)

    assert waiting_s(throttle) == 0


def test_the_fifth_wrong_password_of_a_minute_costs_a_minute():
    """From then on the password is not even looked at, until the minute is over."""
    throttle = LoginThrottle()

    fail(throttle, times=4)
    fail(throttle, times=1, at_s=NOW_S + 60)

    assert waiting_s(throttle, at_s=NOW_S + 60) == 60


def test_wrong_passwords_that_are_far_apart_do_not_add_up():
    """Five in a minute are too many, five in an hour are not."""
    throttle = LoginThrottle()

    for minute in range(20):
        fail(throttle, times=1, at_s=NOW_S + 61 * minute)

    assert waiting_s(throttle, at_s=NOW_S + 61 * 20) == 0


def test_the_wait_doubles_up_to_five_minutes():
    """Whoever goes on after each wait waits 1, 2, 4 and then always 5 minutes."""
    throttle, now_s, waits = LoginThrottle(), NOW_S, []

    for _ in range(5):
        fail(throttle, at_s=now_s)
        waits.append(waiting_s(throttle, at_s=now_s))
        now_s += waits[-1]

    assert waits == [60, 120, 240, 300, 300]


@pytest.mark.parametrize(("pause_s", "wait_s"), [(LONGEST_WAIT_S, 120), (LONGEST_WAIT_S + 1, 60)])
def test_a_pause_makes_the_wait_short_again(pause_s, wait_s):
    """Who has let it be for longer than the longest wait starts anew."""
    throttle = LoginThrottle()
    fail(throttle)
    later_s = NOW_S + 60 + pause_s

    fail(throttle, at_s=later_s)

    assert waiting_s(throttle, at_s=later_s) == wait_s


def test_the_right_password_clears_the_account():
    """Who knew it after all is not counted as somebody who guesses."""
    throttle = LoginThrottle()
    fail(throttle, times=4)

    throttle.succeeded("alice", HERE)
    fail(throttle, times=4)

    assert waiting_s(throttle) == 0


def test_the_right_password_of_another_account_clears_nothing():
    """Else an attacker with an account of his own could guess on forever."""
    throttle = LoginThrottle()
    fail(throttle)

    throttle.succeeded("mallory", HERE)
    throttle.succeeded("alice", ELSEWHERE)

    assert waiting_s(throttle) == 60


# --- blocks of addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("192.0.2.1", "192.0.2.255", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "c000:200::1", False),
    ],
)
def test_a_block_is_what_one_attacker_has(one, other, shared):
    """A /24 of IPv4 and a /64 of IPv6 count as one; the owner of the account, elsewhere, does not wait."""
    throttle = LoginThrottle()

    fail(throttle, address=ip_address(one))

    assert waiting_s(throttle, address=ip_address(other)) == (60 if shared else 0)


def test_unknown_addresses_are_one_block():
    """Who cannot be told apart waits together."""
    throttle = LoginThrottle()

    fail(throttle, address=None)

    assert waiting_s(throttle, address=None) == 60
    assert waiting_s(throttle) == 0


def test_another_account_of_the_block_is_not_concerned():
    """A colleague behind the same router goes on."""
    throttle = LoginThrottle()

    fail(throttle)

    assert waiting_s(throttle, login="bob") == 0


def test_guessing_at_many_accounts_stops_the_block():
    """Sixty wrong passwords a minute from one block, for any accounts, and the block waits; others do not."""
    throttle = LoginThrottle()

    for number in range(60):
        fail(throttle, times=1, login=f"user-{number}")

    assert waiting_s(throttle, login="somebody-new") == 60
    assert waiting_s(throttle, login="somebody-new", address=ELSEWHERE) == 0


def test_fifty_nine_wrong_passwords_do_not_stop_the_block():
    """The limit is sixty."""
    throttle = LoginThrottle()

    for number in range(59):
        fail(throttle, times=1, login=f"user-{number}")

    assert waiting_s(throttle, login="somebody-new") == 0


def test_the_right_password_does_not_clear_the_block():
    """An attacker's own account does not help to guess at others."""
    throttle = LoginThrottle()
    for number in range(60):
        fail(throttle, times=1, login=f"user-{number}")

    throttle.succeeded("mallory", HERE)

    assert waiting_s(throttle, login="mallory") == 60


# --- settings, bounds -------------------------------------------------------------------------------------------------


def test_limits_of_zero_are_no_limits():
    """An installation may turn either off."""
    throttle = LoginThrottle(per_account=0, per_block=0)

    fail(throttle, times=1_000)

    assert waiting_s(throttle) == 0


def test_limits_are_settings():
    """An installation may choose either."""
    throttle = LoginThrottle(per_account=2, per_block=3)

    fail(throttle, times=2)
    fail(throttle, times=1, login="bob")

    assert waiting_s(throttle) == 60
    assert waiting_s(throttle, login="carol") == 60


def test_the_oldest_are_forgotten_first():
    """What is remembered is bounded: an attack from everywhere costs no more memory than that."""
    throttle = LoginThrottle(per_block=0)
    fail(throttle)
    fail(throttle, login="bob")

    for number in range(REMEMBERED - 1):
        fail(throttle, times=1, login=f"user-{number}")

    assert waiting_s(throttle) == 0
    assert waiting_s(throttle, login="bob") == 60


def test_an_endless_login_costs_no_more_than_the_longest_account():
    """No account has a longer name, so what lies beyond is not remembered."""
    throttle = LoginThrottle()

    for number in range(5):
        fail(throttle, times=1, login="a" * LOGIN_MAX + "b" * number)

    assert waiting_s(throttle, login="a" * LOGIN_MAX) == 60
