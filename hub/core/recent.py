"""The newest of something, as many as there is room for."""

MOST = 16_384


class Recent:
    """A set that forgets the oldest beyond ``most``.

    Of cancelled commands: those that a slow subscription, a replay or a poll may still hold. What these may hold is
    bounded as well, and only cancelled within the seconds that they take.
    """

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._ids: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, number: object) -> bool:
        return number in self._ids

    def add(self, number: int) -> None:
        self._ids[number] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
