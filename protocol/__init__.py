"""What travels: names, messages, entities, requests, codecs and errors of the hub's wire.

Nothing in this package does I/O, reads a clock or knows the hub; servers, clients and tools share it.
"""

from protocol.version import API_VERSION, __version__

__all__ = ["API_VERSION", "__version__"]
