"""The fleet itself: what every other test here stands on."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import fleet as fleet_module
import pytest
from fleet import Fleet, FleetError, claim_prefix, wait_for


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet_module.ensure_images()
    made = Fleet(tmp_path_factory.mktemp("fleet"), claim_prefix("self"), uat_disk_mib=300)
    started = time.monotonic()
    made.up()
    made.seconds_to_come_up = time.monotonic() - started
    yield made
    made.down()


def traces(prefix):
    """What a fleet of this prefix leaves on the machine."""
    said = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    names = [path.name for path in fleet_module.NETNS.glob(f"{prefix}-*")] if fleet_module.NETNS.exists() else []
    names += [line for line in said.splitlines() if line.startswith(f"{prefix}-")]
    names += map(str, pathlib.Path("/sys/fs/cgroup").glob(f"*/{prefix}-*"))
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (process / "cmdline").read_bytes().decode(errors="replace")
            if f"roadstead-{prefix}" in arguments:
                names.append(arguments)
    return names


def test_it_is_up_within_a_minute_from_cached_images(fleet):
    assert fleet.seconds_to_come_up < 60


def test_each_host_has_its_own_engine_with_its_own_images(fleet):
    identities = {host.docker("info", "-f", "{{.ID}}").stdout for host in fleet.hosts.values()}
    assert len(identities) == len(fleet.hosts)
    assert fleet.annex2.docker("image", "inspect", fleet_module.BARMAN_IMAGE).returncode == 0
    assert fleet.uat.docker("image", "inspect", fleet_module.BARMAN_IMAGE, check=False).returncode != 0


def test_ssh_reaches_the_engine_of_that_host_both_ways(fleet):
    for host in fleet.hosts.values():
        ssh = ["ssh", "-i", fleet.identity, "-o", f"UserKnownHostsFile={fleet.known_hosts}", "-o", "StrictHostKeyChecking=yes",
               "-o", "BatchMode=yes", f"root@{host.address}"]
        by_exec = subprocess.run([*ssh, "docker", "info", "-f", "{{.ID}}"], capture_output=True, text=True, check=True).stdout
        assert by_exec == host.docker("info", "-f", "{{.ID}}").stdout
        local = host.dir / "forwarded.sock"
        forward = subprocess.Popen([*ssh[:-1], "-N", "-L", f"{local}:/run/docker.sock", ssh[-1]])
        try:
            wait_for(f"engine of {host.name} through a forwarded socket", lambda at=local: fleet_module.engine_answers(at), 10)
        finally:
            forward.terminate()
            forward.wait()


def test_acknowledged_rows_survive_a_power_cut_and_the_writer_goes_on(fleet):
    fleet.start_production()
    fleet.start_writer(rate=100)
    wait_for("a hundred rows", lambda: len(fleet.writer.acknowledged()) > 100)
    fleet.production2.power_off()
    before = len(fleet.writer.acknowledged())
    fleet.production2.power_on()
    fleet.start_production()
    wait_for("rows after the power cut", lambda: len(fleet.writer.acknowledged()) > before + 20)
    fleet.writer.stop()
    there = {int(number) for number in fleet.production2.psql("SELECT id FROM api_access_log").split()}
    acknowledged, sent = set(fleet.writer.acknowledged()), {row["id"] for row in fleet.writer.rows()}
    assert acknowledged <= there <= sent


def unacknowledged_bytes(address):
    """What this machine has sent to PostgreSQL there and has no TCP acknowledgement of."""
    said = subprocess.run(["ss", "-Htn", "dst", f"{address}:5432"], capture_output=True, text=True, check=True).stdout
    return sum(int(line.split()[2]) for line in said.splitlines())


def test_the_writer_stops_although_its_connection_hangs(fleet):
    fleet.start_production()
    fleet.start_writer(rate=100)
    fleet.production2.unplug()
    try:
        # between two rows there would be nothing to hang in
        wait_for("a row that hangs in the connection", lambda: unacknowledged_bytes(fleet.production2.address))
        fleet.writer.stop()
    finally:
        fleet.production2.plug()
    assert "lost" in fleet.writer.rows()[-1]


def test_containers_reach_other_hosts_by_address(fleet):
    fleet.start_production()
    asked = fleet.annex2.docker("run", "--rm", "--entrypoint", "pg_isready", fleet_module.BARMAN_IMAGE, "-h",
                                fleet.production2.address, check=False)
    assert asked.returncode == 0, asked.stdout + asked.stderr


def test_volumes_on_uat_have_the_small_disk(fleet):
    fleet.start_uat_app()
    size_kib = int(fleet.uat.docker("exec", "montagu-db", "df", "-k", "--output=size", "/pgdata").stdout.split()[1])
    assert size_kib < 300 * 1024


def test_another_directory_cannot_take_its_prefix(fleet, tmp_path):
    with pytest.raises(FleetError, match="belongs to the fleet in"):
        Fleet(tmp_path, fleet.prefix).up()


def test_after_a_crash_it_comes_up_anew_and_leaves_nothing_behind(fleet):
    for pid in fleet.annex2.pids()[:1] + fleet.uat.pids()[-1:]:
        os.kill(pid, signal.SIGKILL)
    (fleet.dir / "fleet.json").unlink()
    again = Fleet(fleet.dir, fleet.prefix)
    again.up()
    assert again.annex2.docker("ps", "-q").stdout == ""
    again.down()
    assert traces(fleet.prefix) == []


HOLDS_A_FLEET = """
import fleet, subprocess, sys
made = fleet.Fleet(sys.argv[1], fleet.claim_prefix("gone"))
made.up(say=lambda _: None)
companion = subprocess.Popen(["sleep", "infinity"], start_new_session=True)
made.adopt(companion)
print(made.prefix, companion.pid, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_run_left_is_taken_down_by_the_next_and_a_running_one_is_left_alone(tmp_path):
    fleet_module.ensure_images()
    holder = subprocess.Popen([sys.executable, "-c", HOLDS_A_FLEET, tmp_path / "fleet"], cwd=pathlib.Path(__file__).parent, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        prefix, companion = holder.stdout.readline().split()
        beside = claim_prefix("gone")
        assert beside != prefix and fleet_module.engine_answers(Fleet.load(tmp_path / "fleet").annex2.socket)
    finally:
        holder.kill()
        holder.wait()
    assert fleet_module.started_at(int(companion)) is not None and traces(prefix)
    assert claim_prefix("gone") == prefix
    assert fleet_module.started_at(int(companion)) is None and traces(prefix) == []


def test_a_fleet_made_to_last_is_not_taken_down_by_a_test_run(tmp_path):
    lasting = Fleet(tmp_path / "fleet", "lasts")
    lasting.up()
    try:
        assert claim_prefix("lasts") != "lasts"
        assert fleet_module.engine_answers(lasting.uat.socket)
    finally:
        lasting.down()
