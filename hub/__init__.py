"""The hub: a real-time device messaging server, its command line and its Python client."""
