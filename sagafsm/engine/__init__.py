"""Sans-IO execution: generators that yield effects and take their replies."""
