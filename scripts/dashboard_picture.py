"""Draw the panels of deploy/grafana-dashboard.json from what a Prometheus has scraped, for docs/pictures/dashboard.svg.

Run it as `.venv/bin/python -m scripts.dashboard_picture http://127.0.0.1:9090 START END` (seconds since the epoch) with
what requirements-bench.txt installs. Every query is the dashboard's own; one that finds nothing is named at the end.
How it looks is matplotlib's affair: no Grafana is at hand.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import requests

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "dashboard", "svg.fonttype": "none", "font.size": 7}
from matplotlib import pyplot as plt  # noqa: E402 - the kind of picture is chosen above

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD, PICTURE = ROOT / "deploy" / "grafana-dashboard.json", ROOT / "docs" / "pictures" / "dashboard.svg"
STEP_SECONDS = 15
# What Grafana makes of it with a scrape every 15 seconds.
RATE_INTERVAL = "1m"
ROW_INCHES, COLUMN_INCHES = 0.32, 0.55


def series(
    address: str, target: dict[str, Any], start: float, end: float
) -> list[tuple[str, list[float], list[float]]]:
    """Return a name, minutes and values of each line that the query finds."""
    asked = {"query": target["expr"].replace("$__rate_interval", RATE_INTERVAL), "start": start, "end": end}
    answer = requests.get(f"{address}/api/v1/query_range", params={**asked, "step": STEP_SECONDS}, timeout=30)
    answer.raise_for_status()
    lines = []
    for found in answer.json()["data"]["result"]:
        values = [(at, float(value)) for at, value in found["values"]]
        minutes = [(at - start) / 60 for at, _ in values]
        lines.append((legend(target, found["metric"]), minutes, [value for _, value in values]))
    return lines


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    text = target.get("legendFormat") or ", ".join(labels.values())
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value).replace("{{ " + name + " }}", value)
    return str(text)


def draw(panel: dict[str, Any], axes: Any, lines: list[tuple[str, list[float], list[float]]]) -> None:
    axes.set_title("\n".join(textwrap.wrap(panel["title"], 24)), loc="left", fontsize=8)
    if panel["type"] == "stat":
        axes.axis("off")
        latest = lines[0][2][-1] if lines else None
        axes.text(0.0, 0.35, "No data" if latest is None else f"{latest:.3g}", fontsize=20, transform=axes.transAxes)
        return
    for name, minutes, values in lines:
        axes.plot(minutes, values, label=name, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.25)
    if lines:
        axes.legend(fontsize=5, loc="upper left", ncols=2)
    else:
        axes.text(0.4, 0.5, "No data", transform=axes.transAxes)


def main(address: str, start: float, end: float) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(24 * COLUMN_INCHES, rows * ROW_INCHES), layout="constrained")
    grid = figure.add_gridspec(rows, 24)
    for panel in panels:
        place = panel["gridPos"]
        axes = figure.add_subplot(grid[place["y"] : place["y"] + place["h"], place["x"] : place["x"] + place["w"]])
        lines = [line for target in panel["targets"] for line in series(address, target, start, end)]
        draw(panel, axes, lines)
        if not lines:
            print(f"No data: {panel['title']}")
    figure.savefig(PICTURE, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
