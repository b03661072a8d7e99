"""What the session knows of itself: the engine's start-up, time left, SU so far, and how programs reach it."""
