"""What a hub tells about itself at ``/metrics``."""

import re

from tests.edge_client import request


async def metric(world, wires, name):
    """The lines of one metric."""
    wire = await wires.connect(world)
    await wire.write(request("/metrics", [("Host", "hub"), ("Connection", "close")]))
    text = (await wire.response()).body.decode()
    return "\n".join(line for line in text.splitlines() if re.match(rf"{name}\b", line))


async def limits_reached(world, wires):
    """How often each limit was reached."""
    lines = re.findall(r'\{limit="([a-z-]+)"\} (\S+)', await metric(world, wires, "hub_limit_reached_total"))
    return {name: int(float(count)) for name, count in lines}
