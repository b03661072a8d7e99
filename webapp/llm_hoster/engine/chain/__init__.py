"""Sessions that follow one another past the time limit."""
