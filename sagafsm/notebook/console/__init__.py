"""All instances of a store, found by what is typed, each a click away."""
