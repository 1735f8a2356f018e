"""The first user's site in small, with an operator: what the end-to-end tests play on."""

import contextlib
import json
import pathlib
import re
import threading
import time

from fleet import DATABASE, VOLUME, Fleet, ensure_images, in_parallel, wait_for
from operator_process import Operator, condition_of, is_finished

SERVER, POLICY, INITIAL = "montagu", "montagu-base", "montagu-initial"
ITEM = "montagu-db"
APPLICATION = (DATABASE, "montagu-web")
POLICY_LINE = "unless-stopped"  # the restart policy of both
STEPS = ("probe", "pin", "mark", "prepare", "replay", "copy", "finish", "stop", "exchange", "start", "check", "receipt")
GONE = "uat, before the restore"  # a row of uat's own that no restore may leave there


class Scene:
    """A fleet of its own, production under load, an old application on uat, and an operator with the example's manifests."""

    def __init__(self, directory, prefix, filler_mib=160, uat_disk_mib=1400):
        self.fleet = Fleet(pathlib.Path(directory) / "fleet", prefix, uat_disk_mib=uat_disk_mib)
        self.operator = Operator(self.fleet, directory)
        self.filler_mib = filler_mib
        self.production, self.annex, self.uat = (self.fleet.hosts[name] for name in ("production2", "annex2", "uat"))

    # -- up and down

    def up(self):
        ensure_images()
        self.fleet.up(say=lambda _: None)
        in_parallel(lambda start: start(), (self.fleet.start_production, self.fleet.start_uat_app))
        self.fleet.fill_production(self.filler_mib)
        self.fleet.start_writer(rate=50)
        self.operator.write_example_manifests()
        self.operator.start()

    def wait_until_backed_up(self):
        """WAL streams and there is a base backup."""
        self.operator.wait_condition("barmanserver", SERVER, "Ready", seconds=240)
        self.operator.wait("backup", INITIAL, is_finished, 240)

    def forget_restores(self):
        """No request of an earlier run, nor its receipt, is there any more: their names may be used again."""
        for request in self.operator.items("restorerequests"):
            self.operator.cli("delete", "restorerequest", request["metadata"]["name"])
        self.uat.run("rm", "-rf", self.uat.data_root / "volumes" / VOLUME / ".roadstead")

    def down(self):
        with contextlib.suppress(Exception):
            self.operator.stop()
        self.operator.kill()
        self.fleet.down(say=lambda _: None)

    # -- what a person writes

    def restore_request(self, name, point=None, **spec):
        """A RestoreRequest of production's database onto uat, as JSON text (which is YAML)."""
        return json.dumps({
            "apiVersion": "roadstead.dev/v1alpha1", "kind": "RestoreRequest",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "target": {"hostRef": {"name": "uat"}},
                "items": [{"name": ITEM, "to": {"volume": VOLUME},
                           "from": {"barman": {"serverRef": {"name": SERVER}, "point": point or {"latest": True}}}}],
                "applications": {"stop": {"composeProjects": ["montagu"], "graceSeconds": 30}},
                "checks": [{"name": "has-rows", "sql": {"container": DATABASE, "database": "montagu", "user": "vimc",
                                                        "query": "select count(*) > 0 from api_access_log where id > 0",
                                                        "expect": "t"}}],
                "keepPreviousSeconds": 0,
                **spec,
            }})

    @staticmethod
    def backup(name):
        return json.dumps({"apiVersion": "roadstead.dev/v1alpha1", "kind": "Backup", "metadata": {"name": name, "namespace": "default"},
                           "spec": {"policyRef": {"name": POLICY}}})

    def start_restore(self, name, **options):
        """Gives uat something to lose, then applies the request."""
        self.make_uat_old()
        self.operator.apply(self.restore_request(name, **options))

    def finish_restore(self, name, seconds=300):
        """Waits for its end, which must be a good one."""
        request = self.operator.wait("restorerequest", name, is_finished, seconds)
        assert condition_of(request, "Complete").get("status") == "True", explain(request)
        return request

    def wait_step(self, name, step, seconds=180):
        """Returns the request as soon as `step` is the current one, or is past."""
        return self.operator.wait("restorerequest", name, lambda o: step in steps_begun(o) or is_finished(o), seconds, every=0.02)

    def wait_copying(self, name, at_least_percent=10, seconds=240):
        """Returns the request when this part of the data has arrived."""
        def far_enough(request):
            item = ((request.get("status") or {}).get("items") or [{}])[0]
            return item.get("step") == "copy" and item.get("percent", -1) >= at_least_percent or is_finished(request)
        request = self.operator.wait("restorerequest", name, far_enough, seconds, every=0.1)
        assert not is_finished(request), "the copy ended before anybody saw it; make the line slower"
        return request

    # -- the hosts

    def make_uat_old(self):
        """Something to lose, and little that a copy could find there already: what an earlier restore brought is gone."""
        self.uat.psql(f"INSERT INTO site(name) VALUES ('{GONE}'); DROP TABLE IF EXISTS filler; CHECKPOINT")

    def slow_line_to(self, host, mbit):
        return self.fleet.slow_line_to(host, mbit)

    def standing_container(self):
        """The name of barman's container on annex2."""
        return self.annex.docker("ps", "--filter", "label=dev.roadstead.role=standing", "--format", "{{.Names}}").stdout.strip()

    def barman(self, *args):
        """What `barman -f json ARGS` says on annex2."""
        said = self.annex.docker("exec", "-u", "999:999", self.standing_container(), "barman", "-f", "json", *args, check=False)
        return json.loads(said.stdout)

    def catalogue(self):
        """barman's backups that are whole, id -> name."""
        return {entry["backup_id"]: entry.get("backup_name") or ""
                for entry in self.barman("list-backups", SERVER)[SERVER] if entry["status"] == "DONE"}

    def write_wal(self, segments):
        """Makes production write at least so many segments of WAL."""
        for _ in range(segments):
            self.production.psql("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(false, 'test', repeat('x', 4000000))) AS _")

    def wal_files(self, host, container=DATABASE):
        """Names of the segments in a running database's pg_wal."""
        listing = host.docker("exec", container, "ls", "/pgdata/pg_wal").stdout.split()
        return [name for name in listing if re.fullmatch("[0-9A-F]{24}", name)]

    def beside_volume(self):
        """All paths below .roadstead beside uat's volume, two levels deep."""
        top = self.uat.data_root / "volumes" / VOLUME / ".roadstead"
        return self.uat.run("find", top, "-mindepth", "1", "-maxdepth", "2", "-printf", "%P\n", check=False).stdout.split()

    def inode_of_volume(self):
        return int(self.uat.run("stat", "-c", "%i", self.uat.data_root / "volumes" / VOLUME / "_data").stdout)

    def application(self):
        """name -> (running, restart policy, id) of uat's application."""
        said = self.uat.docker("inspect", "-f", "{{.Name}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}} {{.State.StartedAt}}", *APPLICATION)
        rows = (line.split() for line in said.stdout.splitlines())
        return {name.lstrip("/"): (running == "true", policy, started) for name, running, policy, started in rows}

    def workers(self, name):
        """Names of containers that any host still has for this object."""
        found = []
        for host in self.fleet.hosts.values():
            said = host.docker("ps", "-a", "--filter", f"label=dev.roadstead.name={name}", "--filter", "label=dev.roadstead.role=worker",
                               "--format", "{{.Names}}")
            found += [f"{host.name}:{line}" for line in said.stdout.split()]
        return found

    def protect_uat(self, protected):
        """Writes it into uat's manifest, and waits until the operator has taken it."""
        for path in self.operator.manifests.glob("*.yaml"):
            documents = path.read_text().split("\n---\n")
            for at, text in enumerate(documents):
                if re.search(r"^kind: Host$", text, re.M) and re.search(r"name: uat\b", text):
                    text = re.sub(r"^  protected: true\n", "", text, flags=re.M)
                    documents[at] = re.sub(r"^spec:\n", "spec:\n  protected: true\n", text, flags=re.M) if protected else text
                    path.write_text("\n---\n".join(documents))
        self.operator.wait("host", "uat", lambda o: o["spec"].get("protected", False) == protected, 15)

    # -- what must be true

    def assert_application_runs(self):
        for name, (running, policy, _) in self.application().items():
            assert running, f"{name} does not run on uat"
            assert policy == POLICY_LINE, f"{name} runs with restart policy {policy}"

    def restored_ids(self):
        return [int(number) for number in self.uat.psql("SELECT id FROM api_access_log ORDER BY id").split()]

    def assert_equals_production(self, acknowledged_before=None):
        """uat has exactly a beginning of what production's writer wrote, all of what was acknowledged before then, and
        nothing of its own."""
        restored = self.restored_ids()
        assert restored and restored[0] > 0, "old rows of uat are there, or none at all"
        there = self.production.psql(f"SELECT id FROM api_access_log WHERE id <= {restored[-1]} ORDER BY id").split()
        assert restored == [int(number) for number in there]
        missing = set(self.fleet.writer.acknowledged(acknowledged_before)) - set(restored) if acknowledged_before else set()
        assert not missing, f"{len(missing)} acknowledged rows are missing, the first is {min(missing)}"
        sites = self.uat.psql("SELECT name FROM site").splitlines()
        assert "production" in sites and GONE not in sites, sites
        return restored

    def assert_restored(self, request, acknowledged_before=None):
        """Everything that must hold after a good end, whatever happened on the way."""
        self.assert_application_runs()
        restored = self.assert_equals_production(acknowledged_before)
        name = request["metadata"]["name"]
        wait_for(f"end of the workers of {name}", lambda: not self.workers(name), 20)
        left = self.beside_volume()
        assert not [path for path in left if path.endswith("/tree")], f"old or staged trees were left: {left}"
        assert f"default.{name}.{ITEM}/mark.json" in left, f"no receipt in {left}"
        return restored


def steps_of(object_):
    return (object_.get("status") or {}).get("steps") or []


def steps_begun(request):
    """The last words of the steps that have begun: "copy" of "montagu-db/copy"."""
    items = (request.get("status") or {}).get("items") or []
    return {step["name"].split("/")[-1] for step in steps_of(request)} | {item.get("step") for item in items}


def results_of(request, step):
    """What each attempt of a step answered, in order."""
    return [entry.get("result") or {} for entry in steps_of(request)
            if entry["name"].split("/")[-1].startswith(step)]


def explain(object_):
    """For assertions: what the object says went wrong."""
    status = object_.get("status") or {}
    failed = [step for step in status.get("steps") or [] if step.get("state") == "Failed"]
    return json.dumps({"phase": status.get("phase"), "conditions": status.get("conditions"), "failed": failed}, indent=1)


def names_cause_and_command(condition, *words):
    """The message says each of the words, and a command to go on with."""
    message = condition.get("message", "")
    for word in words:
        assert re.search(word, message, re.I), f"{word!r} is not in: {message}"
    assert re.search(r"`[^`]+`|\b(run|try|see|apply)\b", message), f"no way on in: {message}"
    return True


class Sampler(threading.Thread):
    """Calls look() again and again in the background and keeps (time, answer)."""

    def __init__(self, look, every=0.25):
        super().__init__(daemon=True)
        self.look, self.every = look, every
        self.samples, self.ended = [], threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(self.every):
            began = time.time()
            with contextlib.suppress(Exception):
                self.samples.append((began, self.look()))

    def finish(self):
        self.ended.set()
        self.join()
        return self.samples
