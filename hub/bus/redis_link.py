"""One connection to one Redis server. Whatever goes wrong with it ends it for good; nobody makes it anew in secret."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError, TryAgainError

from hub.bus.redis_address import CONNECT_S, Address

REPLY_S = 3.0
"""How long Redis may take to answer; with a ping each second, a black hole is noticed within 5 s."""

Command = tuple[str | bytes, ...]

_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Replies of a cluster that has changed: what we know of it is old."""


class Lost(OSError):
    """The connection cannot be used any more, or was never made. The text names the place and has no password."""


class Link:
    """A connection of redis-py, driven by hand: one task asks, or one task writes while another one reads.

    A call that is cancelled half way leaves an answer behind that nobody waits for, and the next question would get
    it. So any end of a call other than its answer closes the connection.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.sent = 0
        """Redis commands so far."""
        self._connection = address.connection()

    async def connect(self) -> None:
        """Make the connection, and say who we are.

        Raises:
            Lost: nobody is there, he is not Redis, or he does not let us in.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as exc:
            raise await self._lost(exc) from exc
        except BaseException:
            await self.close()
            raise

    async def ask(self, *command: str | bytes) -> Any:
        """One command, one answer.

        Raises:
            Lost: as of :meth:`pipeline`.
            ResponseError: Redis refuses; the connection stays.
        """
        (answer,) = await self.pipeline([command])
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """All commands in one go; their answers, of which any may be a ``ResponseError``.

        Raises:
            Lost: no answer within ``REPLY_S``, the connection has ended, or the cluster has changed.
        """
        try:
            async with asyncio.timeout(REPLY_S):
                await self._write(commands)
                return [await self._answer() for _ in commands]
        except (RedisError, OSError) as exc:
            raise await self._lost(exc) from exc
        except BaseException:
            await self.close()
            raise

    async def write(self, commands: Sequence[Command]) -> None:
        """Commands whose answers another task gets with :meth:`read`."""
        try:
            async with asyncio.timeout(REPLY_S):
                await self._write(commands)
        except (RedisError, OSError) as exc:
            raise await self._lost(exc) from exc

    async def read(self) -> Any:
        """The next answer or message, however long it takes.

        Raises:
            Lost: the connection has ended, or Redis refuses something.
        """
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except (RedisError, OSError) as exc:
            raise await self._lost(exc) from exc

    async def close(self) -> None:
        """Let go, without waiting for the other side."""
        await self._connection.disconnect(nowait=True)

    async def _write(self, commands: Sequence[Command]) -> None:
        # redis-py would quietly connect anew here.
        if not self._connection.is_connected:
            raise ConnectionResetError("the connection has ended")
        self.sent += len(commands)
        # hiredis declares a tuple of one where it takes any.
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type]
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except RuntimeError as exc:
            # How uvloop refuses to write to a connection whose end our reader has not seen yet.
            raise ConnectionResetError("the connection has ended") from exc

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except _ELSEWHERE:
            raise
        except ResponseError as exc:
            return exc

    async def _lost(self, exc: Exception) -> Lost:
        await self.close()
        why = "no answer in time" if isinstance(exc, TimeoutError) else str(exc) or type(exc).__name__
        return Lost(self.address.clean(f"{self.address.place}: {why}"))
