"""What a real browser lets a page do."""
