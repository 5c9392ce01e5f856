"""What keeps a store from being opened."""


class CannotOpen(Exception):
    """The database or the secrets beside it cannot be used as they are; the text says why and names the file.

    Raised before anything is served. Nothing was changed.
    """
