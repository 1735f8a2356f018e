#!/usr/bin/env python3
"""The demo: three hosts with a real Docker Engine each on this machine, a database under load on one of them, streamed to
another, and restored on the third.

    demo.py          runs it and leaves everything running, to be tried further
    demo.py down     takes everything down
"""

import pathlib
import re
import shutil
import subprocess
import sys
import time

from fleet import Fleet, FleetError, Host
from operator_process import BUILD, Operator, condition_of, is_finished

DIRECTORY = pathlib.Path("/tmp/roadstead-demo")
PREFIX = "rsdemo"
RELEASE = BUILD.parent / "release"
DATABASE_MIB = 512  # so that there is something to see on the way
INTERESTING = re.compile(r"^roadstead_(base_backup|wal|archive|slot|barman_check|host_reachable|restore_duration_seconds_(sum|count)|bytes_moved)")


def say(text=""):
    print(text, flush=True)


def heading(text):
    say(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def show(operator, *args):
    """A command as a person would type it, with what it prints."""
    say(f"$ roadstead {' '.join(args)}")
    say(operator.cli(*args).stdout.rstrip())


def rows(host: Host):
    return host.psql("select count(*), coalesce(max(id), 0) from api_access_log").strip().replace("|", " rows, newest id ")


def bring_up():
    heading("three hosts: production2 (the database), annex2 (keeps the backups), uat (gets a copy)")
    fleet = Fleet(DIRECTORY / "fleet", PREFIX)
    began = time.monotonic()
    fleet.up(say)
    fleet.start_production()
    fleet.start_uat_app()
    fleet.fill_production(DATABASE_MIB)
    fleet.start_writer(rate=50)
    say(f"up in {time.monotonic() - began:.0f} s; a writer inserts 50 rows a second on production2, and uat serves an old copy")
    return fleet


def start_operator(fleet):
    heading("the operator, with a directory of manifests (examples/montagu)")
    build = RELEASE if (RELEASE / "bin/roadstead").exists() else BUILD
    operator = Operator(fleet, DIRECTORY, build)
    operator.write_example_manifests()
    operator.start()
    say(f"$ roadstead operator --data {operator.data} --manifests {operator.manifests}")
    return operator


def watch_backup(operator):
    heading("WAL streaming from production2 to annex2, and the first base backup")
    operator.wait_condition("barmanserver", "montagu", "Streaming", seconds=180)
    say("production2's WAL is streamed to annex2")
    operator.wait_condition("barmanserver", "montagu", "Ready", seconds=180)
    operator.wait("backup", "montagu-initial", is_finished, 300)
    show(operator, "get", "hosts")
    show(operator, "get", "barmanservers", "-o", "wide")
    show(operator, "get", "backups")


def restore(operator):
    heading("a RestoreRequest: production's database, as it is now, onto uat")
    request = DIRECTORY / "uat-november.yaml"
    request.write_text(operator.restore_example())
    show(operator, "apply", "-f", str(request))
    say("$ roadstead get restorerequest uat-november -w")
    watch = subprocess.Popen([operator.program, "get", "restorerequest", "uat-november", "-w", "--kubeconfig",
                              operator.data / "admin.kubeconfig"])
    try:
        request_now = operator.wait("restorerequest", "uat-november", is_finished, 600)
    finally:
        watch.terminate()
        watch.wait()
    if condition_of(request_now, "Complete").get("status") != "True":
        raise FleetError(condition_of(request_now, "Failed").get("message", "the restore did not finish"))
    return request_now


def compare(fleet, request):
    heading("the same rows on both hosts, as of the restore's point")
    as_of = request["status"]["pinned"][0].get("dataAsOf", "")
    say(f"data as of          {as_of}")
    say(f"uat                 {rows(fleet.uat)}")
    say(f"production2, now    {rows(fleet.production2)}   (its writer went on)")
    newest = int(fleet.uat.psql("select coalesce(max(id), 0) from api_access_log"))
    there = fleet.production2.psql(f"select count(*) from api_access_log where id <= {newest}").strip()
    say(f"production2, up to id {newest}: {there} rows")


def main():
    if sys.argv[1:] == ["down"]:
        stop_all()
        return
    stop_all()
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    fleet = bring_up()
    operator = start_operator(fleet)
    watch_backup(operator)
    compare(fleet, restore(operator))
    heading("metrics")
    say("\n".join(line for line in operator.metrics().splitlines() if INTERESTING.match(line)))
    heading("all at once")
    show(operator, "status")
    heading("try next")
    say(f"""  export ROADSTEAD_KUBECONFIG={operator.data}/admin.kubeconfig PATH={operator.program.parent}:$PATH
  roadstead describe restorerequest uat-november
  sed 's/uat-november/uat-again/' {DIRECTORY}/uat-november.yaml | roadstead apply -f - && roadstead get rr -w
  kill -9 {operator.process.pid}     # in the middle of it; start the operator again and see it go on:
  roadstead operator --data {operator.data} --manifests {operator.manifests} --listen 127.0.0.1:{operator.port} --metrics-listen 127.0.0.1:{operator.metrics_port} --mover-image {operator.mover_image}
  curl -s http://127.0.0.1:{operator.metrics_port}/metrics
  {pathlib.Path(__file__).resolve()} down     # takes everything down""")


def stop_all():
    """What an earlier demo left."""
    Fleet(DIRECTORY / "fleet", PREFIX).down(say=lambda _: None)
    shutil.rmtree(DIRECTORY, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except (FleetError, AssertionError) as error:
        sys.exit(f"demo: {error}")
