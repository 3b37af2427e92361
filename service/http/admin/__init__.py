"""Wires of administrators."""
