"""What a saga is: steps, policies and the state machine, as data."""
