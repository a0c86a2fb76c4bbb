"""The arena: blind votes in the browser."""
