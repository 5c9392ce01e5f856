"""Secrets on their way in: by a hidden prompt or by stdin, never as an argument, which others could read."""

import sys

from hub.cli.output import misused

PASSWORD_MAX = 1_024


def read_password(login: str, *, from_stdin: bool) -> str:
    """The new password of a user: one line of stdin, or typed twice.

    Raises:
        Failure: it is empty or too long, or there is nobody to ask.
    """
    password = _line() if from_stdin else _typed(f"New password of {login}")
    if not 1 <= len(password) <= PASSWORD_MAX:
        misused(f"a password has 1 to {PASSWORD_MAX} characters")
    return password


def read_key(what: str) -> str:
    """A key from one line of stdin."""
    key = _line()
    if not key:
        misused(f"{what}: nothing came on stdin")
    return key


def _line() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _typed(prompt: str) -> str:
    if not sys.stdin.isatty():
        misused("there is no terminal to ask for the password; give it on stdin with --password-stdin")
    import typer

    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=True))
