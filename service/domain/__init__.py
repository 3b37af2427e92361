"""What the service owns: one slice per thing.  A slice never imports another."""
