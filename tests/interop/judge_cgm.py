"""Computes CGM metrics with PyPI iglu-python. Standard input: one JSON object, {"times": ["2025-02-01 00:00:00", ...],
"values": [mg/dL, ...]}, times in UTC. Prints one object with what it finds."""

import json
import os
import sys

os.environ.setdefault("MPLBACKEND", "Agg")

import pandas as pd
import iglu_python as iglu


def main():
    given = json.load(sys.stdin)
    values = pd.Series(given["values"], dtype=float)
    frame = pd.DataFrame({"id": "one", "time": pd.to_datetime(given["times"]).tz_localize("UTC"), "gl": values})
    found = {
        "mean": float(values.mean()),
        "sd": float(iglu.sd_glu(values)),
        "gmi": float(iglu.gmi(values)),
        "gri": float(iglu.gri(values)),
        "lbgi": float(iglu.lbgi(values)),
        "hbgi": float(iglu.hbgi(values)),
        "j_index": float(iglu.j_index(values)),
        "quantiles": [float(q) for q in iglu.quantile_glu(values, quantiles=[5, 10, 25, 50, 75, 90, 95])],
    }
    mean, cv = iglu.mean_glu(frame), iglu.cv_glu(frame)
    found["mean"] = float(mean.iloc[0, -1])
    found["cv"] = float(cv.iloc[0, -1])
    found.update(iglu.below_percent(values, targets_below=[54, 70]))
    found.update(iglu.above_percent(values, targets_above=[180, 250]))
    found.update(iglu.in_range_percent(values, target_ranges=[[70, 180], [70, 140]]))
    episodes = iglu.episode_calculation(frame, tz="UTC")
    rows = zip(episodes["type"], episodes["level"], episodes["total_episodes"])
    found["episodes"] = {f"{kind} {level}": int(total) for kind, level, total in rows}
    print(json.dumps(found))


main()
