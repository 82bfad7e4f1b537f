"""Worker processes give the results in order, and end with an error where they cannot start."""

import subprocess
import sys

import pytest

# The recipe is larger than the buffer of a pipe, on which a parent would wait for a worker that is gone.
CALL = """
import operator
from astro_galtrans._utils.processes import ordered_results
def main():
    print(list(ordered_results(list, range(100000), operator.getitem, [5, 3, 99999], 2)))
"""
GUARDED = CALL + """
if __name__ == "__main__":
    import multiprocessing
    multiprocessing.set_start_method({method!r})
    main()
"""
IN_A_POOL = CALL + """
if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(main)
"""


def _run(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_with_the_guard_any_start_method_will_do(method, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(GUARDED.format(method=method))
    done = _run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "[5, 3, 99999]"


def test_code_on_the_command_line_needs_no_guard():
    assert _run("-c", CALL + "main()").stdout.strip() == "[5, 3, 99999]"


def test_without_the_guard_the_parent_ends_and_says_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CALL + "main()")
    done = _run(script)
    assert done.returncode == 1 and done.stdout == ""
    assert "workers=2" in done.stderr.splitlines()[-1] and "__main__" in done.stderr.splitlines()[-1]


def test_a_call_that_every_worker_would_repeat_fails_before_any_starts(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from astro_galtrans._utils.processes import check_workers\n\ncheck_workers(2)\n")
    done = _run(script)
    assert done.returncode == 1 and "script.py, line 3" in done.stderr.splitlines()[-1]
    for guarded in ("if __name__ == '__main__':\n    check_workers(2)\n", "def main():\n    check_workers(2)\n"
                    "try:\n    main()\nfinally:\n    pass\n"):
        script.write_text("from astro_galtrans._utils.processes import check_workers\n" + guarded)
        assert _run(script).returncode == 0


def test_code_from_standard_input_says_what_it_lacks():
    done = _run("-", input=CALL + "main()\n")
    assert done.returncode == 1 and "workers=2" in done.stderr and "<stdin>" in done.stderr


def test_a_worker_of_a_pool_may_not_have_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(IN_A_POOL)
    done = _run(script)
    assert done.returncode == 1 and "workers must be 1" in done.stderr


def test_a_worker_that_dies_is_told_from_one_that_cannot_start(tmp_path):
    module = tmp_path / "deadly.py"
    module.write_text("import os, time\ndef work(prepared, task):\n    if task == 2:\n        time.sleep(1)\n"
                      "        os._exit(1)\n    return task\n")
    done = _run("-c", "import deadly\nfrom astro_galtrans._utils.processes import ordered_results\n"
                "print(list(ordered_results(list, (), deadly.work, [1, 2, 3], 1)))", cwd=tmp_path)
    assert done.returncode == 1 and "abruptly" in done.stderr.splitlines()[-1]
