"""The service as whole processes: several workers, servers that die, a clean checkout."""
