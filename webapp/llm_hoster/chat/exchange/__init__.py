"""Conversations as files: those that people take with them, and those that they bring, from here or from elsewhere."""
