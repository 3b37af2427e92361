"""What flows of several folders stand on.  It imports no other folder of flows."""
