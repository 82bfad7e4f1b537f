"""Install the oldest series of each dependency that pyproject.toml allows; it is the one place that states them.

torch keeps the version of constraints.txt, for older releases have no build for CPUs in the registry.
"""

import re
import subprocess
import sys
import tomllib

KEPT = {"torch"}


def oldest(requirements):
    """Each ``name>=version`` as ``name==version.*``, for some first releases of a series do not exist."""
    for requirement in requirements:
        found = re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", requirement)
        if found and found[1].lower() not in KEPT:
            yield f"{found[1]}=={found[2]}.*"


def main(path):
    with open(path, "rb") as stream:
        project = tomllib.load(stream)["project"]
    extras = project["optional-dependencies"]
    named = re.search(r"\[(.*)\]", extras["all"][0])[1].split(",")
    required = project["dependencies"] + [line for extra in named for line in extras[extra]]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *oldest(required)], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
