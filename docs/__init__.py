"""Pictures for people, and what draws them."""
