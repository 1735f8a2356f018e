"""Whatever is killed at whatever moment: nothing is lost, nothing half done is started, nothing verified is moved twice."""

import contextlib
import json
import subprocess
import threading

import pytest
from fleet import DATABASE, wait_for
from operator_process import condition_of, is_finished
from scene import INITIAL, ITEM, SERVER, STEPS, explain, results_of, steps_begun, steps_of

WORKER = "label=dev.roadstead.role=worker"


def attempts(object_, step):
    return [entry["attempt"] for entry in steps_of(object_) if entry["name"].split("/")[-1].startswith(step)]


@pytest.fixture(autouse=True)
def no_backup_is_lost(scene):
    before = scene.catalogue()
    yield
    assert set(before) <= set(scene.catalogue())


def test_the_operator_killed_at_every_step_of_a_restore(scene):
    """Each step is waited for; the next operator adopts what runs, so that no step is done again."""
    killed_at = []
    with scene.slow_line_to(scene.uat, 400):
        scene.start_restore("killed-often")
        for step in STEPS:
            request = scene.wait_step("killed-often", step)
            if is_finished(request):
                break
            scene.operator.kill()
            killed_at.append(step)
            scene.operator.start()
        request = scene.finish_restore("killed-often")
    assert len(killed_at) >= 10, killed_at
    scene.assert_restored(request)
    again = {step["name"]: step["attempt"] for step in steps_of(request)
             if step["attempt"] > 1 and step["name"].split("/")[-1] in ("prepare", "replay", "copy")}
    assert not again, f"long steps done again although their workers lived: {again}"
    assert {entry["name"]: entry["restartPolicy"] for entry in request["status"]["ledger"]} == {
        DATABASE: "unless-stopped", "montagu-web": "unless-stopped"}
    moved = [result for result in results_of(request, "copy") if "bytesTotal" in result][-1]
    assert moved["bytesSent"] + moved["bytesSame"] + moved["bytesVerified"] <= moved["bytesTotal"]  # holes are none of them


def test_the_operator_killed_at_points_of_a_backup(scene):
    points = {
        "accepted": lambda o: True,
        "running": lambda o: (o.get("status") or {}).get("phase") == "Running",
        "has a worker": lambda o: bool((o.get("status") or {}).get("worker")),
        **{f"{percent} %": lambda o, percent=percent: percent_of(o) >= percent for percent in (1, 15, 30, 45, 60, 75, 90)},
    }
    with scene.slow_line_to(scene.annex, 80):
        scene.operator.apply(scene.backup("killed-backup"))
        for name, reached in points.items():
            backup = scene.operator.wait("backup", "killed-backup", lambda o, at=reached: at(o) or is_finished(o), 120)
            assert not is_finished(backup), f"it ended before: {name}"
            scene.operator.restart()
    assert_made_once(scene, "killed-backup")


def percent_of(backup):
    return ((backup.get("status") or {}).get("progress") or {}).get("percent", -1)


def assert_made_once(scene, name):
    """It ended well, and barman's catalogue has it once: an attempt that was broken off left nothing."""
    backup = scene.operator.wait("backup", name, is_finished, 240)
    assert condition_of(backup, "Complete")["status"] == "True", explain(backup)
    ours = {id_ for id_, called in scene.catalogue().items() if called.startswith(f"roadstead.default.{name}.")}
    assert ours == {backup["status"]["barman"]["backupID"]}, f"it was made more than once: {ours}"

    def no_leftover():
        unfinished = [entry for entry in scene.barman("list-backups", SERVER)[SERVER] if entry["status"] != "DONE"]
        return not unfinished and not scene.workers(name)
    wait_for(f"end of what {name} left", no_leftover, 90, every=0.5)


@pytest.mark.parametrize("what", ["worker", "store", "engine"])
def test_a_backup_whose_worker_store_or_engine_is_lost_in_the_middle(scene, what):
    """The catalogue says what is there; what is not is made again, and nothing else is lost."""
    name = f"backup-without-its-{what}"
    manifest = scene.operator.manifests / "backup.yaml"  # where a lost store finds it again
    try:
        with scene.slow_line_to(scene.annex, 160):
            manifest.write_text(scene.backup(name))
            backup = scene.operator.wait("backup", name, lambda o: percent_of(o) >= 20 or is_finished(o), 120)
            assert not is_finished(backup)
            if what == "worker":
                for worker in scene.workers(name):
                    scene.annex.docker("rm", "-f", worker.removeprefix(f"{scene.annex.name}:"))
            elif what == "store":
                scene.operator.kill()
                scene.operator.lose_store()
                scene.operator.start()
                wait_for(f"{name} read again", lambda: scene.operator.get("backup", name), 20)
            else:
                scene.annex.stop_engine()
                scene.annex.start_engine()
        assert_made_once(scene, name)
    finally:
        manifest.unlink(missing_ok=True)


class Pruner:
    """Removes each worker of one request: the first of a step when it starts, the second when it has ended, as
    `docker container prune` would; later ones are let be."""

    def __init__(self, scene, name):
        self.name, self.removed, self.ended = name, {}, False
        self.streams = []
        for host in scene.fleet.hosts.values():
            stream = subprocess.Popen(
                ["docker", "-H", f"unix://{host.socket}", "events", "--filter", WORKER, "--filter", f"label=dev.roadstead.name={name}",
                 "--filter", "event=start", "--filter", "event=die", "--format", "{{json .}}"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.streams.append(stream)
            threading.Thread(target=self._follow, args=(host, stream), daemon=True).start()

    def _follow(self, host, stream):
        for line in stream.stdout:
            event = json.loads(line)
            key = (host.name, event["Actor"]["Attributes"]["dev.roadstead.step"])
            wanted = {0: "start", 1: "die"}.get(len(self.removed.get(key, [])))
            if event["Action"] == wanted:
                self.removed.setdefault(key, []).append(wanted)
                with contextlib.suppress(Exception):
                    host.docker("rm", "-f", event["Actor"]["ID"], check=False)

    def finish(self):
        for stream in self.streams:
            stream.terminate()
            stream.wait()
        return self.removed


def test_every_worker_of_a_restore_removed_behind_its_back(scene):
    pruner = Pruner(scene, "pruned")
    try:
        scene.start_restore("pruned")
        request = scene.finish_restore("pruned", 400)
    finally:
        removed = pruner.finish()
    scene.assert_restored(request)
    for step in ("prepare", "replay", "copy", "finish", "exchange"):
        assert any(key[1].startswith(step) for key in removed), f"no worker of {step} was removed: {removed}"


@pytest.mark.parametrize("step", ["copy", "exchange"])
def test_the_store_deleted_in_the_middle_of_a_restore(scene, step):
    """The manifest is read again, the marks beside the volume tell how far it was, and it goes on from there."""
    name = f"store-lost-at-{step}"
    manifest = scene.operator.manifests / "restore.yaml"
    try:
        with scene.slow_line_to(scene.uat, 240):
            scene.make_uat_old()
            manifest.write_text(scene.restore_request(name))
            scene.operator.wait("restorerequest", name, lambda o: step in steps_begun(o), 240, every=0.02)
            if step == "copy":
                scene.wait_copying(name)
            scene.operator.kill()
            scene.operator.lose_store()
            scene.operator.start()
            wait_for(f"{name} read again", lambda: scene.operator.get("restorerequest", name), 20)
            request = scene.finish_restore(name)
    finally:
        manifest.unlink(missing_ok=True)
    scene.assert_restored(request)
    if step == "copy":
        moved = [result for result in results_of(request, "copy") if "bytesTotal" in result][-1]
        assert moved["bytesSent"] < moved["bytesTotal"], "what had arrived was sent again"


def test_the_targets_engine_restarted_while_copying(scene):
    """All containers on uat end; the next attempt sends only what had not arrived."""
    with scene.slow_line_to(scene.uat, 160):
        scene.start_restore("engine-restarted")
        before = scene.wait_copying("engine-restarted", at_least_percent=40)
        scene.uat.stop_engine()
        scene.uat.start_engine()
    request = scene.finish_restore("engine-restarted")
    scene.assert_restored(request)
    moved = [result for result in results_of(request, "copy") if "bytesTotal" in result][-1]
    arrived = before["status"]["items"][0]["bytesDone"]
    assert moved["bytesVerified"] > arrived // 2, f"{arrived} bytes had arrived, {moved}"
    assert moved["bytesSent"] <= moved["bytesTotal"] - moved["bytesVerified"]
    assert max(attempts(request, "copy")) == 2


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(10))
def test_killed_at_random_again_and_again(scene, round_):
    """Operator, workers and engines die at random moments of one restore after another."""
    import random
    chance = random.Random(round_)
    name = f"soak-{round_}"
    ended = threading.Event()

    def havoc():
        while not ended.wait(chance.uniform(0.2, 6)):
            what = chance.choice(["operator", "operator", "worker", "worker", "engine"])
            if what == "operator":
                scene.operator.restart()
            elif what == "worker":
                for host in scene.fleet.hosts.values():
                    for worker in host.docker("ps", "-aq", "--filter", WORKER).stdout.split():
                        host.docker("rm", "-f", worker, check=False)
            else:
                host = chance.choice([scene.uat, scene.annex])
                host.power_off() if chance.random() < 0.5 else host.stop_engine()
                host.power_on()

    with scene.slow_line_to(scene.uat, 200):
        scene.start_restore(name)
        thread = threading.Thread(target=havoc)
        thread.start()
        try:
            ended.wait(40)
        finally:
            ended.set()
            thread.join()
    scene.assert_restored(scene.finish_restore(name, 180))
    assert scene.operator.get("backup", INITIAL) is not None and ITEM
