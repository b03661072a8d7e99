"""Who may use this session's pages: prefix, login, origin check and content security policy."""
