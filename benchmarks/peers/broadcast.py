"""A relay with ``websockets``' own server: what a publisher sends is broadcast, and acknowledged. Prints its port.

It runs on uvloop, like the hub. Of all peers it is the one that is written in the same language.
"""

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

subscribers: set[ServerConnection] = set()


async def relay(connection: ServerConnection) -> None:
    assert connection.request is not None, "its handshake is over"
    if connection.request.path == "/publish":
        await publish(connection)
        return
    subscribers.add(connection)
    try:
        await connection.send("ready")
        await connection.wait_closed()
    finally:
        subscribers.discard(connection)


async def publish(connection: ServerConnection) -> None:
    await connection.send("ready")
    async for message in connection:
        broadcast(subscribers, message)
        await connection.send("++")


async def main() -> None:
    async with serve(relay, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
