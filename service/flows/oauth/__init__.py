"""What OAuth clients do for themselves: tokens, introspection, revocation."""
