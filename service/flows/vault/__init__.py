"""Secrets: put, read of, handed over sealed, dropped; everything sealed anew."""
