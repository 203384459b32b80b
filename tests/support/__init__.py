"""What the exams share: a clock that can be set, stores that break, services that do what a script says."""
