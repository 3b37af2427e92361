"""HTTP in, HTTP out: parse, call one flow, render.  Nothing is decided here."""
