"""Administration, of one's own organization or across all."""
