"""The craft of prompts: how each family likes them written, and who writes them out."""
