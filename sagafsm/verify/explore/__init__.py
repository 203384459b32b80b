"""The searches: which faults are tried at which points."""
