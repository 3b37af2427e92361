"""Wires of what a signed-in person manages."""
