def send_each(fds: tuple[int, ...], payloads: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Send each payload to its file descriptor without waiting; (index, bytes sent) of those not sent whole."""
