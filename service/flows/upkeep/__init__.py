"""Background work, and the commands that run it."""
