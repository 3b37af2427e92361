"""Routes for signing in, refreshing and signing out."""
