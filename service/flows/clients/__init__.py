"""OAuth clients: created, listed, rotated, disabled."""
