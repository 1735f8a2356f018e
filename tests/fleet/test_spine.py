"""The main job from end to end: manifests, WAL streaming, a base backup, a restore onto another host, and its variants."""

import datetime
import json
import time

import pytest
from fleet import DATABASE, VOLUME, wait_for
from operator_process import ProgressWatch, condition_of, is_finished
from scene import INITIAL, POLICY, SERVER, Sampler, explain, names_cause_and_command, results_of, steps_of

AFTER = f"just after the point, {time.time():.0f}"  # a row of production's that no restore here may have
AGE = f'{{namespace="default",server="{SERVER}"}}'


def seconds_of(timestamp):
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


# ------------------------------------------------------------------------------------------------- streaming and backups


def test_metrics_of_a_server_are_there_before_its_first_base_backup(fresh_scene):
    series = f"roadstead_base_backup_last_success_timestamp_seconds{AGE}"
    first = wait_for("series of the base backup's time", lambda: [v for v in [fresh_scene.operator.metric(series)] if v is not None], 30)
    assert first == [0.0]
    assert fresh_scene.operator.metric(f"roadstead_base_backup_age_seconds{AGE}") == float("inf")


def test_from_manifests_alone_wal_streams_and_a_base_backup_is_made(scene):
    hosts = {host["metadata"]["name"]: condition_of(host, "Reachable")["status"] for host in scene.operator.items("hosts")}
    assert hosts == {"production2": "True", "annex2": "True", "uat": "True"}
    server = scene.operator.wait_condition("barmanserver", SERVER, "Ready")
    assert condition_of(server, "Streaming")["status"] == "True"
    assert server["status"]["slot"]["active"]
    backup = scene.operator.get("backup", INITIAL)
    assert condition_of(backup, "Complete")["status"] == "True", explain(backup)
    assert backup["status"]["barman"]["backupID"] in scene.catalogue()


def test_a_policy_says_when_it_runs_next(scene):
    policy = scene.operator.wait("backuppolicy", POLICY, lambda o: "nextRunTime" in o.get("status", {}), 30)
    assert seconds_of(policy["status"]["nextRunTime"]) > time.time()
    series = f'roadstead_policy_next_run_timestamp_seconds{{namespace="default",policy="{POLICY}"}}'
    assert scene.operator.metric(series) == seconds_of(policy["status"]["nextRunTime"])


def test_metrics_tell_the_base_backup_and_its_age(scene):
    done = scene.operator.get("backup", INITIAL)["status"]["finishedAt"]

    def told():
        value = scene.operator.metric(f"roadstead_base_backup_last_success_timestamp_seconds{AGE}")
        return value and abs(value - seconds_of(done)) < 60

    wait_for("the base backup's time in the metrics", told, 60, every=0.5)
    assert 0 <= scene.operator.metric(f"roadstead_base_backup_age_seconds{AGE}") < 86400
    assert scene.operator.metric(f"roadstead_barman_archive_bytes{AGE}") > scene.filler_mib << 20
    active = f'roadstead_replication_slot_state{{namespace="default",server="{SERVER}",state="active"}}'
    assert scene.operator.metric(active) == 1


# ------------------------------------------------------------------------------------------------------------ the restore


@pytest.fixture(scope="module")
def restored(scene):
    """One restore by the example's manifest, with everything that was seen on the way."""
    scene.write_wal(6)  # so that replay has something to do, and leaves dead segments behind
    scene.make_uat_old()
    before = scene.application()
    acknowledged_before = time.time()
    watch = ProgressWatch(scene.operator, "restorerequest", "uat-november")
    asked = Sampler(lambda: scene.uat.psql("select 1", timeout=5))
    with scene.slow_line_to(scene.uat, 320):
        scene.operator.apply(scene.operator.restore_example())
        scene.operator.wait("restorerequest", "uat-november", is_pinned, 180, every=0.02)
        scene.production.psql(f"INSERT INTO site(name) VALUES ('{AFTER}')")
        request = scene.finish_restore("uat-november")
    return {"request": request, "samples": watch.finish(), "answers": asked.finish(), "before": before,
            "acknowledged_before": acknowledged_before}


def is_pinned(request):
    return any(pin.get("targetLSN") for pin in (request.get("status") or {}).get("pinned") or []) or is_finished(request)


def test_uat_equals_production_at_the_point_and_no_later(scene, restored):
    scene.assert_restored(restored["request"], restored["acknowledged_before"])
    pin = restored["request"]["status"]["pinned"][0]
    as_of = seconds_of(pin["dataAsOf"])
    ids = set(scene.restored_ids())
    acknowledged = set(scene.fleet.writer.acknowledged(before=as_of - 3))
    assert acknowledged <= ids
    assert not [row for row in scene.fleet.writer.rows() if row["sent"] > as_of + 3 and row["id"] in ids]
    assert AFTER not in scene.uat.psql("SELECT name FROM site").splitlines()
    assert AFTER in scene.production.psql("SELECT name FROM site").splitlines()


def test_the_restored_copy_cannot_reach_productions_archive(scene, restored):
    assert scene.uat.psql("SELECT pg_is_in_recovery()") == "f"
    assert scene.uat.psql("SHOW archive_mode") == "off"
    assert scene.uat.psql("SHOW primary_conninfo") == ""


def test_the_application_was_stopped_only_for_the_exchange(scene, restored):
    status = restored["request"]["status"]
    stopped, restarted = seconds_of(status["stoppedAt"]), seconds_of(status["restartedAt"])
    answered = [at for at, answer in restored["answers"] if answer == "1"]
    copies = [step for step in steps_of(restored["request"]) if step["name"].endswith("/copy")]
    during_copy = [at for at in answered if seconds_of(copies[0]["startedAt"]) <= at <= seconds_of(copies[-1]["finishedAt"])]
    assert len(during_copy) >= 3, "the application did not answer while its new data was copied"
    longest = max((after - before, before, after) for before, after in zip(answered, answered[1:]))
    assert longest[1] <= stopped + 1 and longest[2] >= restarted - 1, "it was down at another time than the exchange"
    assert longest[0] < 30


def test_the_application_runs_again_as_it_did(scene, restored):
    now = scene.application()
    assert {name: state[:2] for name, state in now.items()} == {name: state[:2] for name, state in restored["before"].items()}
    ledger = {entry["name"]: entry for entry in restored["request"]["status"]["ledger"]}
    assert set(ledger) == set(now)
    assert all(entry["restartPolicy"] == "unless-stopped" and entry["startedAt"] for entry in ledger.values())


def test_dead_wal_was_not_shipped(scene, restored):
    request = restored["request"]
    facts = results_of(request, "replay")[-1]
    high, low = (int(part, 16) for part in facts["minRecoveryLSN"].split("/"))
    last, first = (high << 32 | low) >> 24, int(facts["redoWalFile"][8:16], 16) << 8 | int(facts["redoWalFile"][16:], 16)
    needed = last - first + 1
    moved = results_of(request, "copy")[-1]
    database = int(scene.uat.psql("SELECT sum(pg_database_size(oid)) FROM pg_database"))
    assert moved["bytesTotal"] < database + (needed + 2 << 24), f"more than the database and {needed} segments of WAL: {moved}"


def test_no_percent_goes_backwards_or_shows_without_its_total(restored):
    last = {}
    seen = 0
    for _, status in restored["samples"]:
        for item in status.get("items") or []:
            assert "percent" not in item or "bytesTotal" in item, item
            if "percent" not in item:
                continue
            key = (item["name"], item.get("step"))
            assert item["percent"] >= last.get(key, 0), f"{item} after {last[key]} %"
            assert item.get("bytesDone", 0) <= item["bytesTotal"]
            last[key] = item["percent"]
            seen += 1
    assert seen >= 3, "no progress was shown"


def test_checks_were_asked_and_their_answers_kept(restored):
    checks = restored["request"]["status"]["checks"]
    assert checks and all(check["passed"] for check in checks)


def test_its_duration_and_bytes_are_measured(scene, restored):
    assert scene.operator.metric('roadstead_restore_duration_seconds_count{result="Succeeded"}') >= 1
    moved = 'roadstead_bytes_moved_total{from_host="annex2",to_host="uat"}'
    assert scene.operator.metric(moved) >= results_of(restored["request"], "copy")[-1]["bytesSent"] > 0


def test_describe_and_status_tell_people_what_happened(scene, restored):
    described = scene.operator.cli("describe", "restorerequest", "uat-november").stdout
    assert "Succeeded" in described and VOLUME in described
    screen = scene.operator.cli("status").stdout
    for word in ("production2", "annex2", "uat", SERVER, POLICY):
        assert word in screen, screen


def test_a_finished_request_cannot_be_changed(scene, restored):
    changed = scene.operator.restore_example().replace("latest: true", 'backupID: "20200101T000000"')
    refused = scene.operator.cli("apply", "-f", "-", text=changed, check=False)
    assert refused.returncode == 1
    assert "spec.items" in refused.stderr and "cannot be changed" in refused.stderr, refused.stderr


def test_after_the_store_was_lost_the_same_request_touches_nothing(scene, restored):
    """Its receipt beside the volume tells that it was done."""
    scene.uat.psql("INSERT INTO site(name) VALUES ('written on uat since')")
    before = (scene.inode_of_volume(), scene.application())
    known = scene.catalogue()
    scene.operator.kill()
    scene.operator.lose_store()
    scene.operator.start()
    scene.operator.apply(scene.operator.restore_example())
    request = scene.finish_restore("uat-november")
    assert condition_of(request, "Complete")["reason"] == "AlreadyDone", explain(request)
    assert "new name" in condition_of(request, "Complete")["message"]
    assert (scene.inode_of_volume(), scene.application()) == before
    assert "written on uat since" in scene.uat.psql("SELECT name FROM site").splitlines()
    wait_for("Backups rebuilt from barman's catalogue", lambda: set(known) <= {
        (backup.get("status") or {}).get("barman", {}).get("backupID") for backup in scene.operator.items("backups")}, 60, every=0.5)
    assert set(scene.catalogue()) == set(known), "the lost store made another base backup"


# ----------------------------------------------------------------------------------------------------------- its variants


def test_a_dry_run_only_plans(scene):
    before = (scene.inode_of_volume(), scene.application(), scene.beside_volume())
    scene.operator.apply(scene.restore_request("only-a-plan", dryRun=True))
    request = scene.finish_restore("only-a-plan")
    plan = request["status"]["plan"]
    assert set(plan["stops"]) == {DATABASE, "montagu-web"}
    assert plan["strategy"] == "Staged"
    assert plan["spaceFreeBytes"] > plan["spaceNeededBytes"] > scene.filler_mib << 20
    assert [step["name"] for step in plan["steps"]]
    assert not plan.get("refusals")
    assert (scene.inode_of_volume(), scene.application(), scene.beside_volume()) == before


def test_cancelled_while_copying_everything_is_as_before(scene):
    before = (scene.inode_of_volume(), scene.application())
    with scene.slow_line_to(scene.uat, 80):
        scene.start_restore("called-off")
        scene.wait_copying("called-off")
        scene.operator.apply(scene.restore_request("called-off", cancel=True))
        request = scene.operator.wait("restorerequest", "called-off", is_finished, 180)
    assert request["status"]["phase"] == "Cancelled", explain(request)
    assert (scene.inode_of_volume(), scene.application()) == before, "the application was touched"
    wait_for("end of its workers", lambda: not scene.workers("called-off"), 30)
    assert not [path for path in scene.beside_volume() if path.endswith("/tree")]


def test_a_protected_host_waits_for_the_confirmation_and_a_backup_id_is_its_end(scene):
    """A restore of a base backup as it is onto a host that must be confirmed."""
    backup_id = scene.operator.get("backup", INITIAL)["status"]["barman"]["backupID"]
    ended = seconds_of(next(entry["endTime"] for entry in scene.operator.get("barmanserver", SERVER)["status"]["backups"]
                            if entry["id"] == backup_id))
    manifest = next(path for path in scene.operator.manifests.glob("*.yaml") if "name: uat" in path.read_text())
    text = manifest.read_text()
    before = scene.inode_of_volume()
    scene.protect_uat(True)
    try:
        scene.start_restore("to-its-end", point={"backupID": backup_id})
        request = scene.operator.wait("restorerequest", "to-its-end", lambda o: "ConfirmationRequired" in json.dumps(o.get("status")), 180)
        blocked = next(c for c in request["status"]["conditions"] if c["reason"] == "ConfirmationRequired")
        assert names_cause_and_command(blocked, "uat", "confirm")
        assert scene.inode_of_volume() == before
        scene.operator.apply(scene.restore_request("to-its-end", point={"backupID": backup_id},
                                                   confirm={"host": "uat", "volumes": [VOLUME]}))
        request = scene.finish_restore("to-its-end")
    finally:
        scene.protect_uat(False)
    restored = scene.assert_restored(request)
    newest = restored[-1]
    row = next(row for row in scene.fleet.writer.rows() if row["id"] == newest)
    assert row["sent"] <= ended + 2, "it has rows from after the base backup"
    assert request["status"]["pinned"][0]["backupID"] == backup_id
    assert manifest.read_text() == text
