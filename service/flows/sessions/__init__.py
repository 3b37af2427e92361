"""Sign in, refresh, sign out; list and end sessions."""
