"""Pure renderers: a definition or an instance in, text out."""
