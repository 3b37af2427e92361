"""What the service owns: one package (slice) per thing.  A slice never imports another slice."""
