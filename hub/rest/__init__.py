"""The REST API of DeviceHive 2.0. Every route builds a request object and calls an action, as the sockets do."""
