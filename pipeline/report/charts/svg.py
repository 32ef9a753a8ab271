"""SVG elements as escaped markup."""

from collections.abc import Iterable

from markupsafe import Markup, escape

WIDTH = 360.0
"""A chart's width in a card; near that of a phone."""

_ADVANCE = 0.6
"""Width of a letter by its height, of the widest of usual fonts; SVG cannot measure it."""

TEXT = 12.0
"""Height of text in pixels, as the style sheet sets it."""


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element.

    Args:
      name: ``path``, ``text``, …
      children: markup, or text to be escaped.
      attributes: ``class_`` for class, ``stroke_width`` for stroke-width; floats are rounded to
        a tenth of a pixel, None is left out.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{told}>{inside}</{name}>" if inside else f"<{name}{told}/>")


def chart(
    width: float, height: float, label: str, *children: Iterable[Markup], class_: str = ""
) -> Markup:
    """The picture around its elements.

    Args:
      width: in pixels; it shrinks and grows with its place.
      height: in pixels.
      label: what the picture shows, for who can't see it.
      children: elements, from below to above.
      class_: classes beside ``chart``.
    """
    inside = Markup("").join(element for group in children for element in group)
    return tag(
        "svg",
        inside,
        class_=f"chart {class_}".rstrip(),
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
    )


def text(
    x: float, y: float, words: str, class_: str | None = None, anchor: str = "start"
) -> Markup:
    """A line of text; ``anchor`` is start, middle or end."""
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def path(points: Iterable[tuple[float, float]], class_: str, close: bool = False) -> Markup:
    """A line through points in pixels; a None in them, or NaN, parts it."""
    steps, pen = [], "M"
    for x, y in points:
        if x != x or y != y:
            pen = "M"
            continue
        steps.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return tag("path", d="".join(steps) + ("Z" if close else ""), class_=class_)


def width_of(words: str, size: float = TEXT) -> float:
    """About how wide text is drawn, in pixels."""
    return _ADVANCE * size * len(words)


def shorten(words: str, width: float, size: float = TEXT) -> str:
    """Text that fits into ``width`` pixels, its middle left out where it does not."""
    fits = max(int(width / (_ADVANCE * size)), 3)
    if len(words) <= fits:
        return words
    head = (fits - 1) // 2
    return f"{words[:head]}…{words[len(words) - (fits - 1 - head) :]}"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(escape(value))
