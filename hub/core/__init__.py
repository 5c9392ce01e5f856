"""Decisions without I/O: who may see what, who gets what, in which order, in which bytes.

Nothing here is async, reads a clock or logs. A core object is fed, then asked.
"""
