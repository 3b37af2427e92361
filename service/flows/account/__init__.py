"""What a signed-in person manages of their own."""
