"""One instance, looked at live, driven, broken and decided."""
