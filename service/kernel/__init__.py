"""What all of the service leans on.  Knows no domain."""
