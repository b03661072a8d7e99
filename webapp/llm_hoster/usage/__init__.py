"""Who has asked how much: a record of each request, on disk before the engine hears of it and settled at its end."""
