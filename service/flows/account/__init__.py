"""Acts of a signed-in person on their own account."""
