"""Organizations: created, read, changed, closed; their logos."""
