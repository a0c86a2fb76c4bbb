"""The frame of every page that we write ourselves."""

from __future__ import annotations


def document(
    title: str, body: str, *, language: str = "en", head: str = "", attributes: str = "", icon: str = "data:,"
) -> str:
    """A whole HTML page around `body`; `attributes` go to its root, `head` to the end of its head."""
    return (
        f'<!doctype html>\n<html lang="{language}"{attributes}>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{title}</title>\n<link rel="icon" href="{icon}">\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )
