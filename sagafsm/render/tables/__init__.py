"""Steps, events, instances and comparisons as HTML tables."""
