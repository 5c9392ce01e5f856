"""Origins: from which pages a browser's stored credentials count."""

from collections.abc import Collection


def same_site(origin: str | None, host: str, allowed: Collection[str]) -> bool:
    """Whether a request comes from a page of this host, from an allowed origin, or from no page at all.

    Args:
        origin: the value of the Origin header; None: none was sent.
        host: the value of the Host header.
        allowed: origins (``scheme://host[:port]``) in lower case, without a slash at the end.
    """
    if origin is None:
        return True
    origin = origin.lower().rstrip("/")
    authority = origin.partition("://")[2]
    return origin in allowed or (authority != "" and authority == host.lower())
