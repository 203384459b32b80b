"""Findings: how they are judged, explained and drawn."""
