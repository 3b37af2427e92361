"""The decisions of the service: one file per act.  This folder is its table of contents."""
