"""The Slurm job that a session runs in: its limit, its memory, its money, its end."""
