"""What people attach to a question: told apart, read within bounds, kept once, and put into the question."""
