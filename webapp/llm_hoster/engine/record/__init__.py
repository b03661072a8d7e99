"""The files and words by which the supervisor, the pages and the commands understand each other."""
