"""What is to be started for a choice, and one start of it."""
