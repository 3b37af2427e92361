"""Acts of OAuth clients: get tokens, introspect, revoke."""
