"""The pictures in README, made from a real run."""
