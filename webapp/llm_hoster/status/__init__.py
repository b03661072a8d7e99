"""What the session knows of itself: the engine's start-up, time left, SU so far, and its API address."""
