"""Stores for sagafsm, found by their entry points."""
