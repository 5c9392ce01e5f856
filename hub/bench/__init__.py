"""``hub bench``: a load generator that is cheaper than the servers it measures, and says so when it is not."""
