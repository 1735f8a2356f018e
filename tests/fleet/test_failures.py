"""Failures of the world: each becomes a condition that says what is wrong and what to do; done, everything goes on."""

import datetime
import re
import secrets
import time

import pytest
from fleet import DATABASE, wait_for
from operator_process import condition_of, is_finished
from scene import ITEM, SERVER, explain, names_cause_and_command, results_of, steps_of


def troubles(object_):
    """Conditions in a state nobody wants, newest change first."""
    good_false = {"CronLate", "WalGap", "Failed"}
    found = [c for c in (object_.get("status") or {}).get("conditions", [])
             if (c["status"] == "True") == (c["type"] in good_false) or c["status"] == "False" and c["type"] not in good_false]
    return sorted(found, key=lambda c: c.get("lastTransitionTime", ""), reverse=True)


def says(object_, *words):
    """Whether one condition's message, or a step's, holds all of these."""
    status = object_.get("status") or {}
    messages = [c.get("message", "") for c in status.get("conditions", [])] + [s.get("message", "") for s in status.get("steps") or []]
    return any(all(re.search(word, message, re.I) for word in words) for message in messages)


@pytest.fixture(autouse=True)
def whole_again(whole_scene):
    """The server is well before and after each test."""
    whole_scene.operator.wait_condition("barmanserver", SERVER, "Ready", seconds=90)
    yield
    whole_scene.operator.wait_condition("barmanserver", SERVER, "Ready", seconds=120)


# ------------------------------------------------------------------------------------------------------------- the target


def test_a_target_whose_engine_stops_is_told_within_thirty_seconds_and_goes_on_when_it_is_back(scene):
    with scene.slow_line_to(scene.uat, 160):
        scene.start_restore("vanishing")
        scene.wait_copying("vanishing", at_least_percent=30)
        scene.uat.stop_engine()
        stopped = time.monotonic()
        request = scene.operator.wait("restorerequest", "vanishing", lambda o: says(o, "uat", "answer|reach|connect"), 30)
        assert not is_finished(request)
        host = scene.operator.wait_condition("host", "uat", "Reachable", "False", 30 - (time.monotonic() - stopped))
        assert names_cause_and_command(condition_of(host, "Reachable"), "connect|answer|socket")
        assert scene.operator.metric('roadstead_host_reachable{host="uat"}') == 0
        scene.uat.start_engine()
    request = scene.finish_restore("vanishing")
    scene.assert_restored(request)
    moved = [result for result in results_of(request, "copy") if "bytesTotal" in result][-1]
    assert moved["bytesVerified"] > 0, "what had arrived was sent again"
    scene.operator.wait_condition("host", "uat", "Reachable", "True", 30)


def test_a_target_whose_network_goes_is_told_and_goes_on(scene):
    with scene.slow_line_to(scene.uat, 160):
        scene.start_restore("unplugged")
        scene.wait_copying("unplugged")
        scene.uat.unplug()
        try:
            scene.operator.wait("restorerequest", "unplugged", lambda o: says(o, "uat"), 30)
            scene.operator.wait_condition("host", "uat", "Reachable", "False", 30)
        finally:
            scene.uat.plug()
    scene.assert_restored(scene.finish_restore("unplugged"))


def test_no_room_on_the_target_is_refused_before_anything_is_touched_and_tried_again_when_there_is(scene):
    volumes = scene.uat.data_root / "volumes"
    before = (scene.inode_of_volume(), scene.application())
    free_kib = int(scene.uat.run("df", "-k", "--output=avail", volumes).stdout.split()[1])
    scene.uat.run("fallocate", "-l", f"{free_kib - 40 * 1024}K", volumes / "ballast")
    try:
        scene.start_restore("no-room", strategy="Staged")  # Auto would go in place
        request = scene.operator.wait("restorerequest", "no-room", lambda o: (o.get("status") or {}).get("phase") == "Blocked", 60)
        assert says(request, "free|room|space", r"\d+(\.\d+)? [MG]iB|\d{6,}"), explain(request)
        plan = request["status"]["plan"]
        assert plan["refusals"] and plan["spaceNeededBytes"] > plan["spaceFreeBytes"]
        assert (scene.inode_of_volume(), scene.application()) == before
    finally:
        scene.uat.run("rm", "-f", volumes / "ballast")
    scene.assert_restored(scene.finish_restore("no-room"))


def test_a_disk_that_fills_up_while_copying_is_told_and_the_copy_goes_on_when_there_is_room(scene):
    volumes = scene.uat.data_root / "volumes"
    started = scene.application()
    try:
        with scene.slow_line_to(scene.uat, 160):
            scene.start_restore("filling-up")
            scene.wait_copying("filling-up", at_least_percent=20)
            scene.uat.run("fallocate", "-l", "64G", volumes / "ballast", check=False)
            free_kib = int(scene.uat.run("df", "-k", "--output=avail", volumes).stdout.split()[1])
            scene.uat.run("fallocate", "-l", f"{max(free_kib - 64, 1)}K", volumes / "ballast", check=False)
        request = scene.operator.wait("restorerequest", "filling-up", lambda o: says(o, "uat|disk|volume", "space|full|room"), 60)
        assert not is_finished(request), explain(request)
        assert scene.application() == started, "the application was stopped although nothing could be exchanged"
        scene.operator.restart()  # which looks at once for what was left unfinished on its hosts
        scene.operator.wait("host", "uat", lambda o: ("default/filling-up", "Preparing") in {
            (one.get("request"), one.get("phase")) for one in o["status"].get("unfinishedRestores", [])}, 30)
    finally:
        scene.uat.run("rm", "-f", volumes / "ballast")
    scene.assert_restored(scene.finish_restore("filling-up"))


# ------------------------------------------------------------------------------------------------------------- production


def test_a_wrong_password_is_named_with_its_role_and_put_right_by_the_file(scene):
    secret = scene.fleet.dir / "secrets/barman"
    right = secret.read_text()
    scene.production.psql(f"ALTER ROLE barman PASSWORD '{secrets.token_hex(8)}'")
    try:
        server = scene.operator.wait_condition("barmanserver", SERVER, "Ready", "False", 90)
        condition = condition_of(server, "Postgresql")
        assert condition["status"] == "False" and condition["reason"] == "PasswordRefused", condition
        assert names_cause_and_command(condition, "barman", "password", re.escape(str(secret)), "ALTER ROLE barman")
        new = secrets.token_hex(8)
        scene.production.psql(f"ALTER ROLE barman PASSWORD '{new}'")  # as the message says: a new password there, and in the file
        secret.write_text(new + "\n")
        scene.operator.wait_condition("barmanserver", SERVER, "Ready", "True", 120)
    finally:
        scene.production.psql(f"ALTER ROLE barman PASSWORD '{right.strip()}'")
        secret.write_text(right)


def test_latest_without_production_is_what_was_received_and_says_up_to_when(scene):
    """Nothing that had been received is lost, and nothing else is claimed."""
    unplugged = time.time()
    scene.production.unplug()
    try:
        scene.start_restore("without-production")
        request = scene.finish_restore("without-production")
    finally:
        scene.production.plug()
    pin = request["status"]["pinned"][0]
    assert pin["target"] == "EndOfWal" and pin["targetLSN"], pin
    as_of = datetime.datetime.fromisoformat(pin["dataAsOf"].replace("Z", "+00:00")).timestamp()
    assert unplugged - 30 < as_of < unplugged + 5, "the data's time is not the time production was lost"
    scene.assert_restored(request, acknowledged_before=unplugged - 2)


def test_a_slot_deleted_on_production_is_told_and_made_again(scene):
    slot = drop_slot(scene)
    server = scene.operator.wait_condition("barmanserver", SERVER, "SlotPresent", "False", 60)
    assert slot in condition_of(server, "SlotPresent")["message"]
    scene.operator.wait("barmanserver", SERVER, lambda o: condition_of(o, "SlotPresent").get("status") == "True" and
                        condition_of(o, "Ready").get("status") == "True" and (o["status"].get("slot") or {}).get("active"), 150)
    assert scene.production.psql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'") == "t"


def drop_slot(scene, slot="barman"):
    """Ends whoever uses it, and drops it before the receiver is back."""
    def dropped():
        scene.production.psql(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active", check=False)
        scene.production.psql(f"SELECT pg_drop_replication_slot('{slot}') FROM pg_replication_slots WHERE slot_name = '{slot}'", check=False)
        return scene.production.psql(f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'") == "0"
    wait_for("drop of the slot", dropped, 20)
    return slot


def test_a_gap_in_the_wal_refuses_a_restore_and_a_new_base_backup_closes_it(scene):
    """A segment is taken out of the archive: what needs it is refused before anything is touched."""
    scene.write_wal(3)
    wals = f"/var/lib/barman/{SERVER}/wals"
    standing = scene.standing_container()

    def archived():
        return sorted(re.findall(r"[0-9A-F]{24}", scene.annex.docker(
            "exec", standing, "sh", "-c", f"cd {wals} && ls */ | grep -xE '[0-9A-F]{{24}}'", check=False).stdout))

    newest = scene.operator.get("barmanserver", SERVER)["status"]["lastBackup"]["id"]
    begin = next(entry for entry in scene.operator.get("barmanserver", SERVER)["status"]["backups"] if entry["id"] == newest)["endWAL"]
    later = wait_for("segments after the base backup", lambda: [name for name in archived() if name > begin][1:], 90, every=0.5)
    lost = later[0]
    before = (scene.inode_of_volume(), scene.application())
    scene.annex.docker("exec", standing, "sh", "-c", f"rm {wals}/*/{lost}")
    scene.start_restore("gap")
    request = scene.operator.wait("restorerequest", "gap", lambda o: is_finished(o) or says(o, lost), 60)
    assert not is_finished(request), explain(request)
    assert (scene.inode_of_volume(), scene.application()) == before
    server = scene.operator.wait_condition("barmanserver", SERVER, "WalGap", "True", 90)
    assert names_cause_and_command(condition_of(server, "WalGap"), lost, "base backup")
    if not next((o for o in scene.operator.items("backups") if not is_finished(o)), None):
        scene.operator.apply(scene.backup("closes-the-gap"))  # as the message says
    request = scene.finish_restore("gap")
    assert request["status"]["pinned"][0]["backupID"] > newest
    scene.operator.wait_condition("barmanserver", SERVER, "WalGap", "False", 90)
    scene.assert_restored(request)
    assert DATABASE and ITEM and steps_of(request)
