"""Wires of getting in, staying in, getting out."""
