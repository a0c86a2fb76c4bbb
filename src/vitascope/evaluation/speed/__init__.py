"""How fast models run here against diffusers as it is: `vitascope bench`."""
