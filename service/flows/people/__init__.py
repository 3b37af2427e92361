"""People: created, invited, imported, changed, erased."""
