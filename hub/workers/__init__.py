"""Several workers on one host: a supervisor that starts them, keeps them alive and replaces them one by one.

The supervisor is no hub. It has the sockets and knows which process stands in which slot; what the workers say to each
other goes over the bus.
"""
