"""The attempts and waits of an instance along a time axis."""
