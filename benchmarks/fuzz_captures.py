"""Every reader of captures and meshes against damaged files, for as long as it may take.

    python benchmarks/fuzz_captures.py [--minutes 20] [--seed 0] [--only "sens jpeg" ply] [--json OUT]

Valid captures of the tests' writers are cut, overwritten and reworded (``tests/fuzzing.py``); each must then be read or
refused by one clean sentence, without files outside of the cache and without absurd memory. Every subject runs in a
process of its own, so that a crash of a library is a finding like any other. Prints a table, writes JSON with what
was found and the seed that finds it again, and ends with status 1 if anything was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import fuzzing  # noqa: E402

MOST_FINDINGS = 20  # of one subject; more are as a rule the same
HANGS = 300.0  # seconds beyond its time after which a subject counts as hanging


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(fuzzing.SUBJECTS), default=list(fuzzing.SUBJECTS))
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "fuzz_captures.json")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)  # what the child process does
    chosen = parser.parse_args()
    seconds = 60 * chosen.minutes / len(chosen.only)
    if chosen.work:
        work(chosen.only[0], chosen.seed, seconds, *chosen.work)
        return
    titles = ("damaged", "read", "refused", "found", "slowest s", "MB")
    print(f"{'':22s} " + " ".join(f"{title:>9s}" for title in titles) + "  refusals")
    results = {}
    for name in chosen.only:
        results[name] = found = in_child(name, chosen.seed, seconds)
        codes = ", ".join(f"{code} {count}" for code, count in found["codes"].items() if code != "read")
        read, slowest, peak = found["codes"].get("read", 0), found["slowest, s"], found["peak, MB"]
        refused = found["damaged"] - read - len(found["findings"])
        counts = f"{found['damaged']:9d} {read:9d} {refused:9d} {len(found['findings']):9d} {slowest:9.1f} {peak:9.0f}"
        print(f"{name:22s} {counts}  {codes[:90]}", flush=True)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(results, indent=1))
    findings = [(name, one) for name, found in results.items() for one in found["findings"]]
    for name, one in findings:
        print(f"\n{name}, seed {one['seed']}: {one['what']}\n{one['where']}")
    raise SystemExit(1 if findings else 0)


def in_child(name: str, seed: int, seconds: float) -> dict[str, Any]:
    """One subject in a process of its own; a crash or a hang is a finding."""
    with tempfile.TemporaryDirectory(prefix="clickfield-fuzz-") as folder:
        told = Path(folder) / "told.json"
        _tell(told, _nothing(seed))
        command = [sys.executable, __file__, "--only", name, "--seed", str(seed), "--minutes", str(seconds / 60)]
        log = Path(folder) / "log"
        with open(log, "wb") as stream:
            try:
                code = subprocess.run(
                    [*command, "--work", folder, str(told)],
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    timeout=seconds + HANGS,
                ).returncode
            except subprocess.TimeoutExpired:
                code = "a hang"
        found = json.loads(told.read_text())
        if code != 0:
            what = f"the process ended with {code} while it worked on this one"
            tail = log.read_bytes()[-1500:].decode(errors="replace")
            found["findings"].append({"seed": found["at"], "what": what, "where": tail})
        return found


def work(name: str, seed: int, seconds: float, folder: Path, told: Path) -> None:
    """Damage a subject again and again; after each time ``told`` says how far it has come."""
    original, place = folder / "original", folder / "place"
    original.mkdir()
    fuzzing.SUBJECTS[name].write(original)
    found = _nothing(seed)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and len(found["findings"]) < MOST_FINDINGS:
        found["at"] = seed + found["damaged"]
        _tell(told, found)
        source = random.Random(f"{name} {found['at']}")
        mutations = [fuzzing.Mutation.drawn(source) for _ in range(source.choice((1, 1, 2, 3)))]
        started = time.monotonic()
        try:
            outcome = fuzzing.attempt(name, original, mutations, place)
            found["codes"][outcome.code] += 1
            found["peak, MB"] = max(found["peak, MB"], outcome.peak / 2**20)
        except Exception as error:  # whatever escapes a reader is what is looked for
            where = "\n".join(traceback.format_exc().splitlines()[-12:])
            found["findings"].append({"seed": found["at"], "what": repr(error)[:300], "where": where})
        found["damaged"] += 1
        found["slowest, s"] = max(found["slowest, s"], time.monotonic() - started)
    found["resident, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _tell(told, found)


def _nothing(seed: int) -> dict[str, Any]:
    counts = {"damaged": 0, "at": seed, "codes": Counter()}
    return counts | {"findings": [], "slowest, s": 0.0, "peak, MB": 0.0, "resident, MB": 0.0}


def _tell(path: Path, found: dict[str, Any]) -> None:
    """Written aside first: the process may end at any time."""
    path.with_suffix(".new").write_text(json.dumps(found))
    os.replace(path.with_suffix(".new"), path)


if __name__ == "__main__":
    main()
