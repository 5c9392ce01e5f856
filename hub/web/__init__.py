"""The edge: HTTP and WebSockets on one port, and what an operator asks the process."""
