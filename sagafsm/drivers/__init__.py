"""Drivers: they do what the core decides, and feed back what came of it."""
