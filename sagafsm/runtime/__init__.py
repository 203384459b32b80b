"""Threads, event loops, leases and shutdown: what carries the effects of the engine out."""
