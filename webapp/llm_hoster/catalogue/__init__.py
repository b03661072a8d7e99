"""What a site offers: its machines, its models and its prices, as checked objects. Never imports Flask."""
