#!/usr/bin/env python3
"""What the operator costs, and how fast the mover is.

    bench.py [--mib N]     on a fleet of its own; the release build if there is one, else the one tests use (and says so)

Prints the operator's time to its first answer, its resident memory and idle CPU with the example's manifests on three
hosts, and a copy of N MiB from annex2 to uat: the mover against rsync over ssh, both from and to real volumes.
"""

import argparse
import json
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

from fleet import REPOSITORY, FleetError, run, wait_for  # noqa: E402

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


# ------------------------------------------------------------------------------------------------------------- the mover


def mountpoint(host, volume):
    host.docker("volume", "create", volume)
    return host.docker("volume", "inspect", "-f", "{{.Mountpoint}}", volume).stdout.strip()


def fill(scene, path, mib):
    """A tree like a database's: a few hundred files of up to 16 MiB, half of it compressible."""
    scene.annex.run("sh", "-c", f"""cd {path} && i=0
        while [ $i -lt {mib // 16} ]; do
          {{ head -c 8388608 /dev/urandom; head -c 8388608 /dev/zero | tr '\\0' r; }} > file-$i; i=$((i + 1)); done
        mkdir small && cd small && for n in $(seq 500); do head -c 2000 /dev/urandom > $n; done""", timeout=300)


def drop_caches():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def mover_seconds(scene, archive, source, target_parent):
    """Both movers in containers, as the operator starts them: annex2 serves and sends, uat calls and receives."""
    for host in (scene.annex, scene.uat):
        host.docker("import", "-c", 'ENTRYPOINT ["/roadstead-mover"]', archive, "bench-mover")
    key = os.urandom(32).hex()
    link = {"transfer": "bench", "connections": 4, "waitSeconds": 30, "idleSeconds": 30}
    target = {"parent": "/target", "request": "default.bench.item"}
    send = {"verb": "copy", "role": "Send", "link": {**link, "mode": "Serve", "port": 10022}, "source": {"path": "/source"}}
    receive = {"verb": "copy", "role": "Receive", "link": {**link, "mode": "Call", "address": scene.annex.address, "port": 10022}, "target": target}
    sides = [(scene.annex, "send", send, ["-p", "10022:10022", "-v", f"{source}:/source:ro"]),
             (scene.uat, "receive", receive, ["-v", f"{target_parent}:/target"])]
    with tempfile.TemporaryDirectory() as folder:
        for host, name, job, options in sides:
            files = pathlib.Path(folder, name, "roadstead")
            files.mkdir(parents=True)
            (files / "job.json").write_text(json.dumps(job))
            (files / "key").write_text(key)
            host.docker("create", "--name", f"bench-{name}", *options, "bench-mover")
            host.docker("cp", f"{files.parent}/.", f"bench-{name}:/")
        drop_caches()
        began = time.monotonic()
        for host, name, _, _ in sides:
            host.docker("start", f"bench-{name}")
        code = scene.uat.docker("wait", "bench-receive").stdout.strip()
        took = time.monotonic() - began
    said = scene.uat.docker("logs", "bench-receive").stdout.strip().splitlines()[-1:]
    if code != "0":
        raise FleetError(f"the mover ended with {code}: {said}")
    return took


def rsync_seconds(scene, source, target):
    """annex2 pushes to uat, as people do it by hand."""
    shell = f"ssh -i {scene.fleet.identity} -o UserKnownHostsFile={scene.fleet.known_hosts}"
    drop_caches()
    began = time.monotonic()
    run(*scene.annex.enter("rsync", "-a", "--fsync" if has_fsync() else "-W", "-W", "-e", shell, f"{source}/", f"root@{scene.uat.address}:{target}/"), timeout=600)
    os.sync()  # the mover's data is on the disk when it ends
    return time.monotonic() - began


def has_fsync():
    return "--fsync" in run("rsync", "--help").stdout


def bench_mover(scene, mib):
    source = mountpoint(scene.annex, "bench_source")
    fill(scene, source, mib)
    target = mountpoint(scene.uat, "bench_target")
    took = mover_seconds(scene, scene.operator.mover_image, source, pathlib.Path(target).parent)
    line(f"mover, {mib} MiB, TLS, synced", f"{mib / took:.0f} MiB/s", f"{took:.1f} s")
    beside = mountpoint(scene.uat, "bench_rsync")
    took = rsync_seconds(scene, source, beside)
    line(f"rsync over ssh, {mib} MiB, synced", f"{mib / took:.0f} MiB/s", f"{took:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    arguments = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="roadstead-bench-"))
    scene = Scene(directory, "rsbench", filler_mib=16, uat_disk_mib=0)
    line("build", str(BUILD), "" if BUILD == RELEASE else "no release build: make build PRESET=release")
    try:
        scene.up()
        bench_operator(scene)
        bench_mover(scene, arguments.mib)
    finally:
        scene.down()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
