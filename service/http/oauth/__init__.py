"""Routes for OAuth clients: RFC 6749, 6750, 7009, 7662."""
