"""API keys: issued, listed, rotated, revoked, deleted; checked and exchanged."""
