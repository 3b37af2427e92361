"""OAuth clients: created, listed, read, changed, rotated, disabled, enabled and deleted."""
