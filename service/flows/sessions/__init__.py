"""Signing in, staying in, signing out; sessions listed and ended."""
