"""How class names are written for people."""

_DRAWN = {"w": "W", "z": "Z", "h": "H"}


def drawn(name: str) -> str:
    """The field's symbol for a class: W, Z and H bosons are capital, any other name stays as it is.

    Args:
      name: a class name, such as those of `hepjax.schema.CLASSES`.

    Returns:
      The name as it is drawn in pictures and tables.

    >>> [drawn(name) for name in ("g", "q", "w", "z", "t")]
    ['g', 'q', 'W', 'Z', 't']
    """
    return _DRAWN.get(name, name)
