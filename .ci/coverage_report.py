"""Report the coverage that `coverage` measured: at least 95 % of lines, with the branches beside them."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST = 95.0


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        rc = Path(__file__).parent.parent / "pyproject.toml"
        command = [sys.executable, "-m", "coverage", "json", "--quiet", f"--rcfile={rc}", "-o", str(path)]
        subprocess.run(command, check=True)
        measured = json.loads(path.read_text())
    totals = measured["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / totals["num_branches"]
    worst = sorted(measured["files"].items(), key=lambda item: -item[1]["summary"]["missing_lines"])[:15]
    for name, file in worst:
        missing = file["missing_lines"]
        sys.stdout.write(f"{len(missing):5d} lines not run in {name}: {missing[:20]}\n")
    sys.stdout.write(f"lines {lines:.2f} % of {totals['num_statements']}, "
                     f"branches {branches:.2f} % of {totals['num_branches']}\n")
    if lines < LEAST:
        raise SystemExit(f"coverage of lines is below {LEAST} %")


if __name__ == "__main__":
    main()
