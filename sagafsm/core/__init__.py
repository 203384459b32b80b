"""What comes next: pure rules from a definition and an instance to commands and events."""
