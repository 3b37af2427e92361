"""The audit trail: read and exported."""
