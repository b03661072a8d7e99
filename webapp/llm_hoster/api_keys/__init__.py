"""Keys that the owner gives to scripts and colleagues: what they allow, and the folder that holds them."""
