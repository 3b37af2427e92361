"""What flows of several folders use.  It imports no other folder of flows."""
