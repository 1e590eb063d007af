"""Asks CGM packages of PyPI for numbers that they are known to get wrong. Standard input: one JSON object, the name of a
package to what it is asked of, {"minutes": [...], "values": [mg/dL, ...]} or {"csv": a Dexcom Clarity export}. Prints one
object, the name to what the package finds, or to {"absent": why it cannot be asked}."""

import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
import tempfile
import types

import pandas as pd


def bare(package):
    """A package without its own beginning, which would ask for all that draws and prints."""
    module = types.ModuleType(package)
    module.__path__ = importlib.util.find_spec(package).submodule_search_locations
    sys.modules[package] = module


def frame(given, time, glucose):
    times = pd.Timestamp("2025-02-01") + pd.to_timedelta(given["minutes"], unit="min")
    return pd.DataFrame({time: times, glucose: pd.Series(given["values"], dtype=float)})


def py_agata(given):
    from py_agata import inspection, time_in_ranges as ranges

    data = frame(given, "t", "glucose")
    extended = inspection.find_extended_hypoglycemic_events(data)
    return {
        "below": ranges.time_in_hypoglycemia(data),
        "target": ranges.time_in_target(data),
        "above": ranges.time_in_hyperglycemia(data),
        "extended": len(extended["duration"]),
    }


def glucose360(given):
    from glucose360 import features

    data = frame(given, features.TIME, features.GLUCOSE)
    return {
        "below": features.percent_time_below_range(data),
        "below_54": features.percent_time_in_level_2_hypoglycemia(data),
        "target": features.percent_time_in_range(data),
        "above": features.percent_time_above_range(data),
    }


def glucostats(given):
    from glucostats.stats import risks_stats, time_stats

    # With pandas 3 it cannot be asked of one patient alone.
    one = frame(given, "time", "glucose")
    data = pd.concat([one, one])
    data.index = ["one"] * len(one) + ["two"] * len(one)
    risk = risks_stats.glycemia_risk(data).iloc[0]
    shares = time_stats.percentage_time_in_ranges(data).iloc[0]
    return {"high": risk["high"], "very_high": risk["vhigh"], "gri": risk["gri"], "target": shares["pt_ir"]}


def glycosignal(given):
    bare("glycosignal")
    from glycosignal import metrics

    return {"target": metrics.time_in_range_percent(frame(given, "Timestamp", "Glucose"))}


def diametrics(given):
    # Of scikit-learn it imports a module that it does not use.
    sys.modules["sklearn"] = types.ModuleType("sklearn")
    sys.modules["sklearn"].metrics = None
    from diametrics import metrics, transform

    table = pd.read_csv(io.StringIO(given["csv"]), header=None, dtype=str)
    data = transform.convert_dexcom(table)
    data["glc"] = data["glc"].astype(float)
    return {"n": len(data), "gri": metrics.glycemic_risk_index(data, "mg").squeeze()}


def agp_tool(given):
    bare("agp")
    from agp import metrics

    lbgi, hbgi = metrics.compute_risk_indices(pd.Series(given["values"], dtype=float))
    return {"lbgi": lbgi, "hbgi": hbgi}


def main():
    given = json.load(sys.stdin)
    found = {}
    # glucose360 leaves its settings where it is imported.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        os.chdir(folder)
        for name, asked in given.items():
            try:
                found[name] = globals()[name.replace("-", "_")](asked)
            except Exception as fault:
                found[name] = {"absent": f"{type(fault).__name__}: {fault}"}
        os.chdir("/")
    print(json.dumps(found, default=float))


main()
