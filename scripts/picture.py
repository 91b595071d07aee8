"""Draws charts as SVG: a page with text, and panels with axes on it. Imported by bench_plot.py.

Our own few lines rather than matplotlib, which scripts/bench.sh would have to install for this alone
and whose files are ten times as large and say nothing to who reads them.
"""

import math
from xml.sax.saxutils import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# A background of its own, so that it looks the same on a light and on a dark page.
PAPER, BORDER = "#ffffff", "#d0d7de"
INK, FAINT, GRID, GRID_FAINT = "#1f2328", "#59636e", "#d8dee4", "#f0f2f4"


class Page:
    """What is drawn, in the order in which it is drawn."""

    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" font-family="{FONT}">',
            f"<title>{escape(title)}</title>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10" '
            f'fill="{PAPER}" stroke="{BORDER}"/>',
        ]

    def add(self, element):
        self.parts.append(element)

    def text(self, x, y, words, size=13, color=INK, anchor="start", weight=400, mono=False,
             halo=False, turned=False):
        more = f' font-family="{MONO}"' if mono else ""
        # A halo keeps words apart from the lines beneath them.
        more += f' stroke="{PAPER}" stroke-width="4" paint-order="stroke"' if halo else ""
        more += f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" '
                 f'text-anchor="{anchor}" font-weight="{weight}"{more}>{escape(words)}</text>')

    def line(self, points, color, width=1.0, dash=""):
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        more = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<polyline points="{places}" fill="none" stroke="{color}" '
                 f'stroke-width="{width}" stroke-linejoin="round" stroke-linecap="round"{more}/>')

    def dot(self, x, y, color, radius=3.0, hollow=False):
        fill, stroke = (PAPER, color) if hollow else (color, PAPER)
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" '
                 f'stroke="{stroke}" stroke-width="1.2"/>')

    def done(self, metadata=""):
        """The file; metadata is text that programs may read back."""
        kept = f"<metadata>{escape(metadata)}</metadata>"
        return "\n".join([*self.parts[:2], kept, *self.parts[2:], "</svg>"]) + "\n"


class Scale:
    """From values to places on the page: ticks are (value, label)."""

    def __init__(self, low, high, ticks, minor=(), change=lambda value: value):
        self.low, self.high, self.change = change(low), change(high), change
        self.ticks, self.minor = ticks, minor

    def share(self, value):
        return (self.change(value) - self.low) / (self.high - self.low)


def linear(high, label, count=6):
    """From 0 to just above `high`, with round ticks."""
    step = 10 ** math.floor(math.log10(high / count))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if step * factor * count >= high)
    ticks = [(number * step, label(number * step)) for number in range(int(high / step) + 1)]
    return Scale(0, high * 1.03, ticks)


def logarithmic(low, high, label):
    """Ticks at 1, 2 and 5 of each power of ten, weaker lines between them."""
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    at = [(digit, digit * 10.0 ** power) for power in powers for digit in range(1, 10)]
    at = [(digit, value) for digit, value in at if low <= value <= high]
    ticks = [(value, label(value)) for digit, value in at if digit in (1, 2, 5)]
    return Scale(low, high, ticks, [value for _, value in at], math.log10)


def percentiles(high, labelled):
    """Percentiles as shares of what is slower: the same room for each power of ten."""
    ticks = [(1 - text / 100, f"{text:g} %") for text in labelled]
    return Scale(0.5, high, ticks, change=lambda slower: -math.log10(slower))


class Panel:
    """A box with a horizontal and a vertical axis, in which values are drawn."""

    def __init__(self, page, left, top, width, height, across, up):
        self.page, self.left, self.top = page, left, top
        self.width, self.height, self.across, self.up = width, height, across, up

    def place(self, x, y):
        return (self.left + self.width * self.across.share(x),
                self.top + self.height * (1 - self.up.share(y)))

    def axes(self, title, below, beside=""):
        page, right, bottom = self.page, self.left + self.width, self.top + self.height
        for value in self.up.minor:
            y = self.place(self.across.ticks[0][0], value)[1]
            page.line([(self.left, y), (right, y)], GRID_FAINT)
        for value, label in self.up.ticks:
            y = self.place(self.across.ticks[0][0], value)[1]
            page.line([(self.left, y), (right, y)], GRID)
            page.text(self.left - 8, y + 4, label, 12, FAINT, "end")
        for value, label in self.across.ticks:
            x = self.place(value, self.up.ticks[0][0])[0]
            page.line([(x, self.top), (x, bottom)], GRID)
            page.text(x, bottom + 18, label, 12, FAINT, "middle")
        page.line([(self.left, self.top), (self.left, bottom), (right, bottom)], FAINT, 1.2)
        page.text(self.left, self.top - 14, title, 15, weight=600)
        page.text(self.left + self.width / 2, bottom + 39, below, 12.5, FAINT, "middle")
        if beside:
            page.text(self.left - 62, self.top + self.height / 2, beside, 12.5, FAINT, "middle",
                      turned=True)

    def curve(self, points, color, width=2.0, dash="", dots=False):
        places = [self.place(x, y) for x, y in points]
        self.page.line(places, color, width, dash)
        for x, y in places if dots else ():
            self.page.dot(x, y, color, 2.6)
