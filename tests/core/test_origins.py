"""From which pages a browser's stored credentials count."""

import pytest

from hub.core.origins import same_site

ALLOWED = frozenset({"https://allowed.example"})


@pytest.mark.parametrize(
    ("origin", "host", "counts"),
    [
        (None, "hub:8080", True),
        ("http://hub:8080", "hub:8080", True),
        ("https://HUB:8080/", "hub:8080", True),
        ("https://allowed.example", "hub:8080", True),
        ("https://Allowed.Example", "hub:8080", True),
        ("http://allowed.example", "hub:8080", False),
        ("http://hub", "hub:8080", False),
        ("http://hub:8080.evil.example", "hub:8080", False),
        ("null", "hub:8080", False),
        ("null", "null", False),
        ("", "", False),
        ("http://", "", False),
    ],
)
def test_a_page_counts_when_it_is_of_this_host_or_of_an_allowed_origin(origin, host, counts):
    """Exactly, but for upper and lower case; and whoever is no page counts."""
    assert same_site(origin, host, ALLOWED) is counts
