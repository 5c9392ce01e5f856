"""The one place that knows the version."""

__version__ = "0.1.0"

API_VERSION = "2.0.6"
"""The DeviceHive release whose wire we speak; ``server/info`` answers it unless the setting says otherwise."""
