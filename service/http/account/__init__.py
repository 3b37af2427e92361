"""Routes for a signed-in person's own account."""
