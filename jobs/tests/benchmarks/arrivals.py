"""The picture: how many requests of a herd have come after so many seconds, a line for each of those who sent it."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from jobs.tests.benchmarks.herd import Herd

WIDTH, HEIGHT = 720, 400
LEFT, TOP, RIGHT, BOTTOM = 60, 40, 20, 50
COLOURS = ("#b45309", "#1d4ed8", "#15803d", "#7e22ce")
TICKS = 5
# An axis goes by one of these times a power of ten.
STEPS = (1, 2, 5, 10)


def draw(herds: Sequence[Herd], file: Path, title: str) -> None:
    """Draw a line per herd, as SVG."""
    seconds, requests = max(herd.drain for herd in herds), max(herd.size for herd in herds)
    across, up = (WIDTH - LEFT - RIGHT) / seconds, (HEIGHT - TOP - BOTTOM) / requests

    def place(second: float, number: float) -> str:
        return f"{LEFT + second * across:.1f},{HEIGHT - BOTTOM - number * up:.1f}"

    parts = [_text(LEFT, TOP / 2, title, size=14)]
    for number in _ticks(requests):
        y = HEIGHT - BOTTOM - number * up
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d4d4d8"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{number:,}", anchor="end"))
    below = HEIGHT - BOTTOM + 18
    parts += [_text(LEFT + second * across, below, str(second), anchor="middle") for second in _ticks(seconds)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "seconds after due", anchor="middle"))
    for place_in_key, (herd, colour) in enumerate(zip(herds, COLOURS, strict=False)):
        points = [place(0, 0)]
        for number, (before, at) in enumerate(pairwise([0.0, *herd.lateness])):
            points += [place(max(0.0, at), number)] if at - before > 0.05 else []
            points.append(place(max(0.0, at), number + 1))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>')
        y = HEIGHT - BOTTOM - 16 - 20 * place_in_key
        parts.append(f'<path d="M{WIDTH - 250} {y - 4}h24" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(WIDTH - 218, y, f"{herd.contender}: the last after {herd.drain:.1f} s"))
    style = 'font-family="sans-serif" font-size="12" fill="#18181b"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>'
    file.write_text("\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *parts, "</svg>\n"]))


def _ticks(largest: float) -> list[int]:
    power = 1
    while True:
        for step in STEPS:
            if largest / (step * power) <= TICKS:
                return list(range(0, int(largest) + 1, step * power))
        power *= 10


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
