"""Development's tool for the languages of the pages: it collects their sentences, and compiles the translations."""
