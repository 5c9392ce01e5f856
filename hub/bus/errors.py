"""What keeps a bus from being opened."""


class CannotOpen(Exception):
    """The bus can never be used as it is set up; the text says why, without a password."""
