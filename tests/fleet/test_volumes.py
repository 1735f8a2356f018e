"""Volumes on three real engines: backed up, thinned out, restored, verified, copied once more; and nothing is lost on the way."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import pytest
import volume_tree
from fleet import REPOSITORY as SOURCES
from fleet import claim_prefix, run, wait_for
from operator_process import PROGRAM, ProgressWatch, condition_of, is_finished
from scene import explain
from volume_scene import APPLICATION, POLICY, VOLUME, VolumeScene
from volume_tree import MIB

DEEP = volume_tree.DEEP.decode()
READER = SOURCES / "docs/read_repository.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site with a first backup made."""
    assert PROGRAM.exists(), f"{PROGRAM} is not there; `make build`, or set ROADSTEAD_BUILD"
    made = VolumeScene(tmp_path_factory.mktemp("volumes"), claim_prefix("e2v"))
    try:
        made.up()
        made.operator.apply(made.policy())
        made.first = made.back_up("first")
        yield made
    finally:
        made.down()


def status_of(backup, host="annex2", volume=VOLUME):
    return next(one for one in backup["status"]["snapshots"] if one["host"] == host and one["volume"] == volume)


def read(*words, check=True):
    """Runs the independent reader."""
    return run(sys.executable, READER, *words, check=check, timeout=300)


# ------------------------------------------------------------------------------------------------------- backup, restore


def test_a_backup_tells_what_it_holds(site):
    snapshot = status_of(site.first)
    assert snapshot["id"] == "default.first" and site.snapshots() == ["default.first"]
    assert snapshot["skippedCount"] == 1 and snapshot["skipped"] == ["specials/socket"]
    assert snapshot["logicalBytes"] > site.sparse_size > snapshot["dataBytes"] > 0
    assert 0 < snapshot["storedBytes"] <= snapshot["dataBytes"] * 1.05
    assert site.first["status"]["phase"] == "Succeeded"
    site.assert_no_workers("first")


def test_a_second_backup_of_the_same_sends_nothing_and_stores_nothing(site):
    snapshot = status_of(site.back_up("unchanged"))
    assert snapshot["sentBytes"] == 0 and snapshot["storedBytes"] == 0


def test_a_staged_restore_equals_the_volume_in_everything_but_its_sockets(site):
    request = site.run_restore("staged", strategy="Staged")
    assert site.differences() == []
    assert request["status"]["plan"]["strategy"] == "Staged"
    site.assert_application_runs()
    site.assert_no_workers("staged")
    assert sorted(os.listdir(site.data(site.uat, VOLUME).parent / ".roadstead/default.staged.files")) == ["mark.json"]


def spoil(top):
    """What an in-place restore finds: pages, sizes, types, links, owners that differ, and things nobody backed up."""
    volume_tree.change_pages(top / "small/0000", 0.5)
    os.truncate(top / "large", 123)
    (top / "names/...").unlink()
    (top / "names/...").mkdir()
    shutil.rmtree(top / "empty/a")
    (top / "empty/a").write_text("a file where a directory was")
    (top / "extra/deep").mkdir(parents=True)
    (top / "extra/deep/file").write_text("nobody backed this up")
    os.chown(top / "modes/file-4755", 1, 1)
    os.link(top / "large", top / "links/joined")
    os.setxattr(top / "large", "user.extra", b"1")
    with open(top / "sparse", "r+b") as file:
        file.write(os.urandom(3 * MIB))


def test_an_in_place_restore_of_a_spoiled_volume_equals_the_volume_too(site):
    spoil(site.data(site.uat, VOLUME))
    before = os.stat(site.data(site.uat, VOLUME)).st_ino
    request = site.run_restore("in-place", strategy="InPlace")
    assert site.differences() == []
    assert request["status"]["plan"]["strategy"] == "InPlace" and os.stat(site.data(site.uat, VOLUME)).st_ino == before
    site.assert_application_runs()


def test_a_restore_under_a_running_application_stops_nothing(site):
    started = site.uat.docker("inspect", "-f", "{{.State.StartedAt}}", APPLICATION).stdout
    (site.data(site.uat, VOLUME) / "large").write_bytes(b"other")
    site.run_restore("under-way", strategy="InPlace", applications={"stop": {"mode": "None"}})
    assert site.differences() == []
    assert site.uat.docker("inspect", "-f", "{{.State.StartedAt}}", APPLICATION).stdout == started


def test_a_missing_volume_is_made(site):
    site.run_restore("into-nothing", to="new_volume")
    assert site.differences(site.data(site.uat, "new_volume")) == []
    site.uat.docker("volume", "rm", "new_volume")


def test_a_volume_that_is_a_directory_elsewhere_is_backed_up_and_restored_in_place(site):
    """Made with options: its data is where they say and can only be reached by mounting it; nothing can be staged beside it."""
    name, places = "elsewhere", {}
    for host in (site.production, site.uat):
        places[host] = pathlib.Path(f"/proc/{host.first_process()}/root{host.dir}/{name}")
        places[host].mkdir()
        host.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={host.dir}/{name}", name)
    volume_tree.small_files(places[site.production], 60)
    (places[site.uat] / "old").write_text("of uat")
    site.operator.apply(site.policy(name, [name]))
    site.back_up(name, name)
    request = site.run_restore(name, volume=name, source={"backupPolicyRef": {"name": name}})
    assert volume_tree.by_walk(places[site.production], places[site.uat]) == []
    assert request["status"]["plan"]["strategy"] == "InPlace"
    said = json.loads(site.uat.docker("volume", "inspect", name).stdout)[0]
    assert said["Options"]["device"] == f"{site.uat.dir}/{name}"
    site.operator.cli("delete", "restorerequest", name)
    site.assert_no_workers(name)


def test_a_rollback_brings_the_old_data_back_while_it_is_kept(site):
    top = site.data(site.uat, VOLUME)
    (top / "of-uat").write_text("kept")
    site.run_restore("regretted", strategy="Staged", keepPreviousSeconds=3600)
    assert not (top / "of-uat").exists()
    site.operator.apply(site.restore("regretted", strategy="Staged", keepPreviousSeconds=3600, rollback=True))
    site.operator.wait_condition("restorerequest", "regretted", "RolledBack", seconds=60)
    assert (top / "of-uat").read_text() == "kept"
    site.assert_application_runs()
    (top / "of-uat").unlink()


def test_as_of_a_time_restores_what_was_there_then(site):
    volume = "changing"
    top = site.data(site.production, volume)
    site.make_volume(volume, lambda place: (place / "version").write_text("1"))
    site.operator.apply(site.policy(volume, [volume]))
    as_of = status_of(site.back_up("version-1", volume), volume=volume)["dataAsOf"]
    (top / "version").write_text("2")
    site.back_up("version-2", volume)
    for name, extra, expected in (("newest", {}, "2"), ("earlier", {"asOf": as_of}, "1")):
        site.run_restore(name, volume=volume, source={"backupPolicyRef": {"name": volume}, **extra})
        assert (site.data(site.uat, volume) / "version").read_text() == expected
    site.run_restore("by-name", volume=volume, source={"backupRef": {"name": "version-1"}})
    assert (site.data(site.uat, volume) / "version").read_text() == "1"


def test_a_reader_of_one_page_restores_a_snapshot_without_roadstead(site, tmp_path):
    """Little data: without a module for the hash the reader takes its time."""
    volume = "for-anyone"
    sockets = site.make_volume(volume, lambda place: volume_tree.everything(place, 20, 64 * MIB, MIB + 123))
    site.operator.apply(site.policy(volume, [{"name": volume, "exclude": [f"/{DEEP}"]}]))
    site.back_up(volume, volume)
    assert f"default.{volume}" in read("list", site.repository(volume=volume)).stdout
    read("verify", site.repository(volume=volume), f"default.{volume}")
    read("restore", site.repository(volume=volume), f"default.{volume}", tmp_path / "restored")
    found = volume_tree.compare(site.data(site.production, volume), tmp_path / "restored")
    assert found.beyond([*sockets, os.fsencode(DEEP)]) == []  # its paths are no longer than a path may be


# ------------------------------------------------------------------------------------------------------------ live trees


def test_a_volume_in_use_is_as_its_writers_left_it_at_some_moment_of_the_run(site):
    """An appended file is a beginning of itself, a replaced one is one of its versions; what changed is named."""
    volume = "live"
    top = site.make_volume(volume, lambda place: place)
    volume_tree.small_files(top / "still", 200)
    volume_tree.large_file(top / "large", 24 * MIB)
    site.operator.apply(site.policy(volume, [volume]))
    writers = {"log": volume_tree.Appender(top / "log"), "state": volume_tree.Replacer(top / "state")}
    try:
        with site.fleet.slow_line_to(site.annex, 80):
            began = time.time()
            backup = site.back_up("live-1", volume)
    finally:
        for writer in writers.values():
            writer.finish()
    snapshot = status_of(backup, volume=volume)
    assert snapshot["consistency"] == "CrashConsistent", snapshot
    assert set(snapshot.get("changed", [])) <= {"./", "log", "state", "state.part"}, snapshot
    site.run_restore("live-1", volume=volume, source={"backupRef": {"name": "live-1"}})
    restored = site.data(site.uat, volume)
    for name, writer in writers.items():
        assert writer.problems_of(restored / name, began) is None
    assert volume_tree.by_walk(top / "still", restored / "still") == []


# ---------------------------------------------------------------------------------------- retention, deletion, off site


def make_history(site, volume, runs):
    top = site.make_volume(volume, lambda place: place)
    site.operator.apply(site.policy(volume, [volume]))
    for number in range(runs):
        volume_tree.large_file(top / "changing", MIB)
        site.back_up(f"{volume}-{number}", volume)


def test_retention_says_what_it_would_remove_then_removes_it_and_frees_the_space(site):
    make_history(site, "history", 4)
    ids = [f"default.history-{number}" for number in range(4)]
    assert site.snapshots(volume="history") == ids
    site.operator.apply(site.policy("history", ["history"], retention={"keepLast": 2, "dryRun": True}))
    policy = site.operator.wait("backuppolicy", "history", lambda o: len((o["status"].get("retention") or {}).get("wouldRemove", [])) >= 2, 60)
    assert all(any(id_.split(".")[1] in one for one in policy["status"]["retention"]["wouldRemove"]) for id_ in ids[:2])
    assert site.snapshots(volume="history") == ids
    before = size_of_packs(site, "history")
    site.operator.apply(site.policy("history", ["history"], retention={"keepLast": 2}))
    wait_for("retention", lambda: site.snapshots(volume="history") == ids[2:], 90)
    wait_for("the end of old packs", lambda: size_of_packs(site, "history") <= before - 2 * MIB * 0.9, 60)
    wait_for("end of the objects", lambda: not [name for name in ("history-0", "history-1") if is_alive(site, name)], 60)
    site.run_restore("history", volume="history", source={"backupPolicyRef": {"name": "history"}})
    assert volume_tree.by_walk(site.data(site.production, "history"), site.data(site.uat, "history")) == []


def size_of_packs(site, volume):
    return sum(path.stat().st_size for path in (site.repository(volume=volume) / "packs").iterdir())


def is_alive(site, name):
    """Whether the operator still counts it among what can be restored."""
    backup = site.operator.get("backup", name)
    return bool(backup) and condition_of(backup, "Complete").get("status") == "True"


def test_a_volume_that_shrank_suspiciously_holds_retention_back(site):
    make_history(site, "shrinks", 3)
    top = site.data(site.production, "shrinks")
    (top / "changing").unlink()
    site.operator.apply(site.policy("shrinks", ["shrinks"], retention={"keepLast": 1}))
    wait_for("retention", lambda: site.snapshots(volume="shrinks") == ["default.shrinks-2"], 90)
    site.back_up("shrinks-3", "shrinks")
    policy = site.operator.wait_condition("backuppolicy", "shrinks", "SourceSuspicious", seconds=60)
    assert "shrinks" in condition_of(policy, "SourceSuspicious")["message"]
    assert site.snapshots(volume="shrinks") == ["default.shrinks-2", "default.shrinks-3"]


def test_a_deleted_backup_takes_its_snapshot_along_only_where_it_says_so(site):
    site.make_volume("deleted", lambda place: (place / "file").write_text("content"))
    site.operator.apply(site.policy("deleted", ["deleted"]))
    site.back_up("goes", "deleted", deletionPolicy="Delete")
    site.back_up("stays", "deleted")
    for name in ("goes", "stays"):
        site.operator.cli("delete", "backup", name)
    wait_for("end of the snapshot", lambda: site.snapshots(volume="deleted") == ["default.stays"], 60)
    wait_for("the object made anew", lambda: site.operator.get("backup", "stays"), 120)


def test_a_second_copy_off_site_is_made_with_its_history(site):
    """Only what is missing travels; the copy restores by itself."""
    site.operator.apply(json.dumps({"apiVersion": "roadstead.dev/v1alpha1", "kind": "BackupPolicy", "metadata": {"name": "off-site", "namespace": "default"},
                                    "spec": {"source": {"hostRef": {"name": "annex2"}, "repository": {"policyRefs": [{"name": POLICY}]}},
                                             "destinations": [{"hostRef": {"name": "uat"}}], "schedule": {"cron": "0 0 1 1 *"}}}))
    site.back_up("off-site-1", "off-site")
    ours = site.snapshots()
    assert site.snapshots(site.uat) == ours
    before = sum(path.stat().st_size for path in (site.repository(site.uat) / "packs").iterdir())
    site.back_up("one-more")
    site.back_up("off-site-2", "off-site")
    assert site.snapshots(site.uat) == sorted([*ours, "default.one-more"])
    assert sum(path.stat().st_size for path in (site.repository(site.uat) / "packs").iterdir()) == before
    site.verify(site.uat)
    site.run_restore("from-off-site", source={"backupPolicyRef": {"name": POLICY}, "hostRef": {"name": "uat"}})
    assert site.differences() == []


# ----------------------------------------------------------------------------------------------------- when things break


def rot(pack):
    """One bit in the middle of a pack."""
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as file:
        file.seek(pack.stat().st_size // 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 4]))


def test_bit_rot_is_found_named_and_repaired_by_the_next_backup(site):
    volume = "rotten"
    top = site.make_volume(volume, lambda place: place)
    volume_tree.large_file(top / "precious", 5 * MIB)
    verification = {"verification": {"schedule": {"cron": "* * * * *"}, "percentPerRun": 100}}
    site.operator.apply(site.policy(volume, [volume], **verification))
    site.back_up("rotten-1", volume)
    rot(max((site.repository(volume=volume) / "packs").iterdir(), key=lambda path: path.stat().st_size))
    policy = site.operator.wait_condition("backuppolicy", volume, "RepositoryHealthy", "False", seconds=150)
    message = condition_of(policy, "RepositoryHealthy")["message"]
    assert "precious" in message + json.dumps(policy["status"]["repositories"]), message
    said = read("verify", site.repository(volume=volume), check=False)
    assert said.returncode != 0
    site.back_up("rotten-2", volume)
    site.operator.wait_condition("backuppolicy", volume, "RepositoryHealthy", "True", seconds=150)
    site.run_restore("rotten-1", volume=volume, source={"backupRef": {"name": "rotten-1"}})
    assert volume_tree.by_walk(top, site.data(site.uat, volume)) == []
    site.operator.apply(site.policy(volume, [volume]))


def free_mib(path):
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize // MIB


@contextlib.contextmanager
def filled_up(path, leave_mib):
    """The disk below this path has only so much left, until the end of the block."""
    filler = pathlib.Path(path) / "filler"
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, (free_mib(path) - leave_mib) * MIB)
    try:
        yield
    finally:
        filler.unlink(missing_ok=True)


def test_a_full_repository_is_told_with_numbers_and_goes_on_by_itself(site):
    volume = "too-large"
    top = site.make_volume(volume, lambda place: place)
    volume_tree.large_file(top / "large", 60 * MIB)
    site.operator.apply(site.policy(volume, [volume], destinations=["uat"]))
    with filled_up(site.volumes(site.uat), 25):
        site.operator.apply(site.backup("no-space", volume))
        told = site.operator.wait("backup", "no-space", lambda o: "NoSpace" in json.dumps(o.get("status") or {}) or is_finished(o), 90)
        assert not is_finished(told), explain(told)
        assert any(word in json.dumps(told["status"]["conditions"]) for word in ("MiB", "GiB", "bytes")), explain(told)
    site.end_of("backup", "no-space", seconds=240)
    site.verify(site.uat, volume)


def test_a_full_target_loses_nothing_and_goes_on_by_itself(site):
    volume = "too-large-to-restore"
    top = site.make_volume(volume, lambda place: place)
    volume_tree.large_file(top / "large", 60 * MIB)
    site.make_volume(volume, lambda place: (place / "old").write_text("old"), site.uat)
    site.operator.apply(site.policy(volume, [volume]))
    site.back_up(volume, volume)
    with filled_up(site.volumes(site.uat), 25):
        site.operator.apply(site.restore("no-room", volume=volume, source={"backupPolicyRef": {"name": volume}}, strategy="Staged"))
        request = site.operator.wait("restorerequest", "no-room",
                                     lambda o: condition_of(o, "Blocked").get("status") == "True" or is_finished(o), 90)
        assert not is_finished(request), explain(request)
        assert (site.data(site.uat, volume) / "old").read_text() == "old"
    site.end_of("restorerequest", "no-room", seconds=240)
    assert volume_tree.by_walk(top, site.data(site.uat, volume)) == []


@contextlib.contextmanager
def broken_disk(site, volume):
    """The volume on an ext4 of its own on production2, in which the file `broken` cannot be read: its block map is garbage."""
    image = site.fleet.dir / "broken.img"
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    run("mkfs.ext4", "-q", "-m", "0", "-I", "256", "-O", "^has_journal,^metadata_csum", image)
    made = site.make_volume(volume, lambda place: place)
    place = site.production.data_root / "volumes" / volume / "_data"
    mount = ("mount", "-o", "loop,errors=continue", image, place)
    site.production.run(*mount)
    try:
        shutil.rmtree(made / "lost+found")
        (made / "good").write_text("good")
        with open(made / "broken", "wb") as file:  # more stretches than fit into the inode
            for number in range(12):
                file.seek(number * 2 * MIB)
                file.write(os.urandom(4096))
        yield made, mount
    finally:
        site.production.run("umount", place, check=False)
        image.unlink()


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_backed_up(site):
    volume = "unreadable"
    with broken_disk(site, volume) as (made, mount):
        site.operator.apply(site.policy(volume, [volume]))
        site.back_up("readable", volume)
        site.production.run("umount", mount[-1])
        image = mount[-2]
        said = run("debugfs", "-R", "stat /broken", image).stdout
        block = int(said.split("(ETB0):")[1].split(",")[0].split()[0])
        with open(image, "r+b") as file:
            file.seek(block * block_size(image))
            file.write(b"\xee" * 512)
        site.production.run(*mount)
        (made / "good").write_text("better")
        os.utime(made / "broken")  # or it would be known from the snapshot before, and not be read at all
        with pytest.raises(OSError):
            (made / "broken").read_bytes()
        backup = site.back_up("partly", volume, good=False)
    assert backup["status"]["phase"] == "PartiallyFailed", explain(backup)
    assert [told.split(" (")[0] for told in status_of(backup, volume=volume)["unreadable"]] == ["broken"], explain(backup)
    assert "broken" in json.dumps(backup["status"]["conditions"])
    assert site.snapshots(volume=volume) == ["default.partly", "default.readable"]
    site.run_restore("partly", volume=volume, source={"backupRef": {"name": "partly"}})
    assert (site.data(site.uat, volume) / "good").read_text() == "better"
    site.run_restore("readable", volume=volume, source={"backupRef": {"name": "readable"}})
    assert (site.data(site.uat, volume) / "broken").stat().st_size == 22 * MIB + 4096


def block_size(image):
    return int(next(line for line in run("dumpe2fs", "-h", image).stdout.splitlines() if line.startswith("Block size")).split(":")[1])


def test_hooks_run_around_the_copy_and_a_failed_one_copies_nothing(site):
    volume = "hooked"
    site.make_volume(volume, lambda place: (place / "file").write_text("before"))
    with contextlib.suppress(Exception):
        site.production.docker("rm", "-f", "hooked")
    site.production.docker("run", "-d", "--name", "hooked", "--init", "-v", f"{volume}:/data", "--entrypoint", "sleep",
                           "roadstead/test-postgres:17", "infinity")

    def hooks(command):
        return {"before": [{"name": "save", "exec": {"container": "hooked", "command": ["sh", "-c", command]}}],
                "after": [{"name": "done", "exec": {"container": "hooked", "command": ["sh", "-c", "echo after > /tmp/after"]}}]}
    policy = json.loads(site.policy(volume, [volume]))
    policy["spec"]["source"]["hooks"] = hooks("echo saved > /data/file")
    site.operator.apply(json.dumps(policy))
    site.back_up("hooked-1", volume)
    assert site.production.docker("exec", "hooked", "cat", "/tmp/after").stdout == "after\n"
    site.run_restore("hooked-1", volume=volume, source={"backupRef": {"name": "hooked-1"}})
    assert (site.data(site.uat, volume) / "file").read_text() == "saved\n"
    policy["spec"]["source"]["hooks"] = hooks("exit 3")
    site.operator.apply(json.dumps(policy))
    backup = site.back_up("hooked-2", volume, good=False)
    assert condition_of(backup, "Failed").get("status") == "True" and "save" in condition_of(backup, "Failed")["message"], explain(backup)
    assert site.snapshots(volume=volume) == ["default.hooked-1"]
    site.production.docker("rm", "-f", "hooked")


def die_in_removal(host, container):
    """The host's engine dies while it removes the container: after its next start it calls it dead."""
    host.docker("wait", container)
    host.stop_engine(hard=True)
    settings = host.data_root / "containers" / container / "config.v2.json"
    told = json.loads(settings.read_text())
    told["State"]["RemovalInProgress"] = True
    settings.write_text(json.dumps(told))
    host.start_engine()
    assert host.docker("inspect", "-f", "{{.State.Status}}", container).stdout.strip() == "dead"


def test_a_worker_that_a_dying_engine_removed_by_half_is_made_anew(site):
    volume = "halved"
    site.make_volume(volume, lambda place: volume_tree.large_file(place / "large", 40 * MIB))
    site.operator.apply(site.policy(volume, [volume]))
    with site.fleet.slow_line_to(site.annex, 160):
        site.operator.apply(site.backup("halved-1", volume))
        name = wait_for("the receiver on annex2", lambda: next(
            (name for _, name in site.running_workers("halved-1") if "-copy-receive-" in name), None))
        site.operator.kill()
        worker = site.annex.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
        site.annex.docker("kill", name)
        die_in_removal(site.annex, worker)
        site.operator.start()
    site.end_of("backup", "halved-1")
    assert site.snapshots(volume=volume) == ["default.halved-1"]
    site.verify(volume=volume)
    assert site.annex.docker("inspect", worker, check=False).returncode != 0


# ----------------------------------------------------------------------------------------------------------------- kills


class Killer:
    """Breaks one thing on the way of an object's work, and mends it."""

    WAYS = ("either mover", "operator", "engine of annex2", "connection")

    def __init__(self, site, name, chance):
        self.site, self.name, self.chance, self.done = site, name, chance, []

    def strike(self):
        way = self.chance.choice(self.WAYS)
        if way == "either mover":
            workers = self.site.running_workers(self.name)
            if not workers:
                return
            host, worker = self.chance.choice(workers)
            host.docker("kill", worker, check=False)
        elif way == "operator":
            self.site.operator.kill()
            self.site.operator.start()
        elif way == "engine of annex2":
            self.site.annex.stop_engine(hard=True)
            self.site.annex.start_engine()
        else:
            self.site.production.unplug()
            self.site.production.plug()
        self.done.append(way)


def survive(site, kind, name, chance, strikes, pause, after_strike=lambda: None):
    """Strikes until the object has ended, at most so often; returns it."""
    killer = Killer(site, name, chance)
    for _ in range(strikes):
        deadline = time.monotonic() + chance.uniform(0, pause)
        ended = site.operator.get(kind, name)
        while ended and not is_finished(ended) and time.monotonic() < deadline:
            time.sleep(0.05)
            ended = site.operator.get(kind, name)
        if ended and is_finished(ended):
            break
        killer.strike()
        after_strike()
    return site.end_of(kind, name, seconds=300), killer.done


CONNECTIONS = 4             # at most, of one copy
PER_ATTEMPT = MIB           # what each attempt sends beside data: the tree's list, and what the engine is told
ON_THE_WIRE = 1.06          # frames and headers of every layer
KILLED_LINE = 160           # Mbit/s: slow enough to be struck amid a copy


def frozen_copy(site, top, name):
    """The tree as it is now, on the side."""
    frozen = site.fleet.dir / "frozen" / name
    subprocess.run(["cp", "-a", top, frozen], check=True)
    return frozen


class Sides:
    """A volume that is restored to a staged tree: at any time it is all of the old or all of the new."""

    def __init__(self, site, volume, new):
        self.top, self.new = site.data(site.uat, volume), new
        self.old = frozen_copy(site, self.top, "old")
        self.seen = []

    def look(self):
        inode = None
        while inode != (inode := os.stat(self.top).st_ino):  # a tree that was exchanged meanwhile is being removed
            with contextlib.suppress(FileNotFoundError):
                differs = [volume_tree.by_walk(side, self.top) for side in (self.old, self.new)]
        assert [] in differs, f"neither the old nor the new; from the old: {differs[0][:5]}, from the new: {differs[1][:5]}"
        self.seen.append("old" if differs[0] == [] else "new")


def back_up_a_round(site, volume, name, chance, strikes, known):
    """A backup that is broken: what all its attempts send together is what one would, and what was on the way at the kills."""
    top = site.data(site.production, volume)
    before = site.fleet.received_by(site.annex)
    clean = volume_tree.new_bytes(top, known)
    site.operator.apply(site.backup(name, volume))
    backup, done = survive(site, "backup", name, chance, strikes, 3)
    sent = site.fleet.received_by(site.annex) - before
    most = ((clean + len(done) * CONNECTIONS * MIB) * ON_THE_WIRE + (len(done) + 1) * PER_ATTEMPT
            + len(done) * site.fleet.waiting_in_line(KILLED_LINE))
    assert sent <= most, f"{sent} bytes of {clean} that are new were sent, after {done}"
    assert status_of(backup, volume=volume)["sentBytes"] <= clean
    assert f"default.{name}" in site.snapshots(volume=volume)
    site.verify(volume=volume)
    return done


def restore_a_round(site, volume, name, chance, strikes, frozen):
    strategy = chance.choice(["Staged", "InPlace"])
    sides = Sides(site, volume, frozen)
    site.operator.apply(site.restore(name, volume=volume, source={"backupRef": {"name": name}}, strategy=strategy))
    _, done = survive(site, "restorerequest", name, chance, strikes, 3, sides.look if strategy == "Staged" else lambda: None)
    assert volume_tree.by_walk(frozen, sides.top) == [], f"{strategy}, {done}, {sides.seen}"
    site.assert_application_runs("killed")
    site.operator.cli("delete", "restorerequest", name)
    shutil.rmtree(sides.old)
    return done


def thin_out_a_round(site, volume, name, chance, strikes):
    """Retention of all but the newest, struck while it removes: what a repository names can be read all the time."""
    killer = Killer(site, volume, chance)
    left = [f"default.{name}"]
    assert len(site.snapshots(volume=volume)) > 1
    site.operator.apply(site.policy(volume, [volume], retention={"keepLast": 1}))
    for _ in range(strikes):
        deadline = time.monotonic() + chance.uniform(0, 1)
        while time.monotonic() < deadline and not site.running_workers(volume):  # one that removes does not run for long
            time.sleep(0.02)
        killer.strike()
        site.verify(volume=volume)
    wait_for("retention", lambda: site.snapshots(volume=volume) == left, 120)
    site.verify(volume=volume)
    site.operator.apply(site.policy(volume, [volume]))
    return killer.done


def kill_a_round(site, number, chance, strikes, known):
    """One backup, one restore and, every other time, one retention, broken at random points; returns the number of strikes."""
    volume, name = "killed", f"killed-{number}"
    top = site.data(site.production, volume)
    volume_tree.change_pages(top, 0.3)
    volume_tree.small_files(top / f"more-{number}", 50, seed=number + 2)
    with site.fleet.slow_line_to(site.annex, KILLED_LINE), site.fleet.slow_line_to(site.uat, KILLED_LINE):
        done = back_up_a_round(site, volume, name, chance, strikes, known)
        frozen = frozen_copy(site, top, name)
        done += restore_a_round(site, volume, name, chance, strikes, frozen)
    if number % 2 == 1:
        done += thin_out_a_round(site, volume, name, chance, 2)
    return len(done)


def kill_rounds(site, seed, strikes_wanted, strikes_a_round):
    """Every committed snapshot is checked again at the end, against what the volume was when it was made."""
    chance = random.Random(seed)
    volume = "killed"
    top = site.make_volume(volume, lambda place: place)
    volume_tree.small_files(top / "small", 300)
    volume_tree.large_file(top / "large", 24 * MIB)
    site.make_volume(volume, lambda place: (place / "old").write_text("old"), site.uat)
    site.run_application("killed", volume)
    (site.fleet.dir / "frozen").mkdir(exist_ok=True)
    site.operator.apply(site.policy(volume, [volume]))
    strikes = number = 0
    known = set()
    while strikes < strikes_wanted and number < strikes_wanted:
        strikes += kill_a_round(site, number, chance, strikes_a_round, known)
        number += 1
    for id_ in site.snapshots(volume=volume):
        frozen = site.fleet.dir / "frozen" / id_.removeprefix("default.")
        assert volume_tree.by_walk(frozen, site.restored_by_hand(id_, volume)) == [], id_
    for left in ("frozen", "restored"):
        shutil.rmtree(site.fleet.dir / left)
    for application in (APPLICATION, "killed"):
        site.assert_application_runs(application)
    site.uat.docker("rm", "-f", "killed")
    return strikes


def test_a_dozen_kills_at_random_points_lose_nothing(site):
    seed = int(os.environ.get("ROADSTEAD_SEED", random.randrange(10 ** 6)))
    print(f"ROADSTEAD_SEED={seed}")
    assert kill_rounds(site, seed, 12, 5) >= 12


@pytest.mark.soak
def test_two_hundred_kills_at_random_points_lose_nothing(site):
    seed = int(os.environ.get("ROADSTEAD_SEED", random.randrange(10 ** 6)))
    print(f"ROADSTEAD_SEED={seed}")
    assert kill_rounds(site, seed, 200, 8) >= 200


@pytest.mark.soak
def test_a_tree_of_everything_of_two_hundred_thousand_files_is_restored_equal(tmp_path_factory):
    """The whole of it: 200,000 small files and a sparse file of 20 GiB."""
    site = VolumeScene(tmp_path_factory.mktemp("large"), claim_prefix("e2l"), small_files=200_000, sparse_size=20 * volume_tree.GIB,
                       uat_disk_mib=6000)
    try:
        site.up()
        site.operator.apply(site.policy())
        site.operator.apply(site.backup("whole"))
        site.end_of("backup", "whole", seconds=600)
        site.operator.apply(site.restore("whole"))
        site.end_of("restorerequest", "whole", seconds=600)
        assert site.differences() == []
    finally:
        site.down()


def test_progress_never_goes_backwards_and_its_end_is_all(site):
    volume = "watched"
    top = site.make_volume(volume, lambda place: place)
    volume_tree.large_file(top / "large", 40 * MIB)
    site.operator.apply(site.policy(volume, [volume]))
    with site.fleet.slow_line_to(site.annex, 120):
        site.operator.apply(site.backup("watched", volume))
        watch = ProgressWatch(site.operator, "backup", "watched")
        site.end_of("backup", "watched")
    seen = [status.get("progress") or {} for _, status in watch.finish()]
    for field in ("bytesDone", "filesDone", "percent"):
        values = [one[field] for one in seen if field in one]
        assert values == sorted(values), f"{field}: {values}"
    assert [one for one in seen if 0 < one.get("percent", 0) < 100 and one.get("bytesPerSecond")], seen
