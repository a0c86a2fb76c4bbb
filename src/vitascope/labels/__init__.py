"""How a file says that it was generated: a visible mark, metadata, and signed credentials."""
