"""What the service decides: one file per act.  This folder is its table of contents."""
