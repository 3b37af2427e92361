"""What is done without anyone asking."""
