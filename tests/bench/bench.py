#!/usr/bin/env python3
"""What the operator costs; what the mover does is in volumes.py.

    bench.py     on a fleet of its own; the release build if there is one, else the one tests use (and says so)

Prints the operator's time to its first answer, its resident memory and idle CPU with the example's manifests on three
hosts.
"""

import os
import pathlib
import shutil
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fleet"))

from fleet import REPOSITORY, wait_for  # noqa: E402

RELEASE = REPOSITORY / "build/release"
if (RELEASE / "bin/roadstead").exists():
    os.environ.setdefault("ROADSTEAD_BUILD", str(RELEASE))

from operator_process import BUILD  # noqa: E402
from scene import Scene  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 20


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def answers(port):
    """Whether the API says anything over HTTPS, a refusal included."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=1, context=context)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def seconds_to_first_answer(operator):
    """Of a start on a store that is filled, as after a crash."""
    operator.kill()
    began = time.monotonic()
    operator.launch()
    wait_for("the operator's first answer", lambda: answers(operator.port), 15, every=0.002)
    return time.monotonic() - began


def idle(operator):
    """(CPU in percent of one core, resident MiB) over some seconds in which nobody asks for anything."""
    began, before = time.monotonic(), cpu_seconds(operator.process.pid)
    time.sleep(IDLE_SECONDS)
    used = cpu_seconds(operator.process.pid) - before
    return 100 * used / (time.monotonic() - began), operator.resident_mib()


def line(what, value, limit=""):
    print(f"{what:42} {value:>16}   {limit}", flush=True)


def bench_operator(scene):
    operator = scene.operator
    scene.wait_until_backed_up()
    times = sorted(seconds_to_first_answer(operator) for _ in range(5))
    line("start to first answer (median of 5)", f"{times[2] * 1000:.0f} ms", "limit 500 ms")
    operator.wait_condition("barmanserver", "montagu", "Ready")
    cpu, memory = idle(operator)
    line(f"idle CPU over {IDLE_SECONDS} s", f"{cpu:.2f} %", "limit 1 %")
    line("resident memory", f"{memory:.1f} MiB", "limit 60 MiB")


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="roadstead-bench-"))
    scene = Scene(directory, "rsbench", filler_mib=16, uat_disk_mib=0)
    line("build", str(BUILD), "" if BUILD == RELEASE else "no release build: make build PRESET=release")
    try:
        scene.up()
        bench_operator(scene)
    finally:
        scene.down()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
