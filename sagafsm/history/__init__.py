"""What happened: events, and the instance that they fold into."""
