"""The contrast of two colours, as the Web Content Accessibility Guidelines define it (WCAG 2.2, "contrast ratio")."""

from __future__ import annotations


def contrast(one: str, other: str) -> float:
    """The ratio of two colours `#rrggbb`, from 1 (the same) to 21 (black and white). Text needs 4.5, graphics 3."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
