"""One simulated run: process, clock, store and world with the faults of a schedule."""
