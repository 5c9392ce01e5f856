"""Properties are judged by what they find: how long an example takes says more about the computer than about us."""

from hypothesis import HealthCheck, settings

settings.register_profile("hub", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hub")
