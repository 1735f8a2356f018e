"""A site whose volumes are backed up, in small: what the end-to-end tests of volumes play on.

production2 has the volumes, annex2 keeps the backups, uat gets restores and keeps a second copy; its disk is small.
"""

import contextlib
import json
import os
import pathlib
import re

import volume_tree
from fleet import POSTGRES_IMAGE, Fleet, ensure_images, run, wait_for
from operator_process import Operator, condition_of, for_fleet, is_finished
from scene import explain

POLICY, VOLUME, REPOSITORY = "outpack", "montagu_outpack_volume", "roadstead_repository"
APPLICATION = "montagu-outpack"
API = "roadstead.dev/v1alpha1"


class VolumeScene:
    """A fleet of its own, a volume with a tree of everything, an application that uses it on uat, and an operator."""

    def __init__(self, directory, prefix, small_files=300, sparse_size=256 * volume_tree.MIB, uat_disk_mib=500):
        self.fleet = Fleet(pathlib.Path(directory) / "fleet", prefix, uat_disk_mib=uat_disk_mib)
        self.operator = Operator(self.fleet, directory)
        self.small_files, self.sparse_size = small_files, sparse_size
        self.production, self.annex, self.uat = (self.fleet.hosts[name] for name in ("production2", "annex2", "uat"))
        self.sockets = []

    # -- up and down

    def up(self):
        ensure_images()
        self.fleet.up(say=lambda _: None)
        self.sockets = self.make_volume(VOLUME, lambda top: volume_tree.everything(top, self.small_files, self.sparse_size))
        self.make_volume(VOLUME, lambda top: (top / "old").write_text("uat, before the restore"), self.uat)
        self.run_application(APPLICATION, VOLUME)
        self.operator.manifests.joinpath("hosts.yaml").write_text(self.hosts())
        self.operator.start()

    def run_application(self, name, volume):
        """A container on uat that uses the volume."""
        self.uat.docker("run", "-d", "--name", name, "--restart", "unless-stopped", "--init", "-v", f"{volume}:/outpack",
                        "--entrypoint", "sleep", POSTGRES_IMAGE, "infinity")

    def down(self):
        with contextlib.suppress(Exception):
            self.operator.stop()
        self.operator.kill()
        self.fleet.down(say=lambda _: None)

    def hosts(self):
        """The example's machines: two of them keep backups, as in the first users' plan, and serve."""
        text = for_fleet((pathlib.Path(__file__).resolve().parents[2] / "examples/montagu/hosts.yaml").read_text(), self.fleet)
        documents = []
        for document in re.split(r"^---\n", text, flags=re.M):
            name = re.search(r"^  name: (\S+)", document, re.M)[1]
            if name in ("annex2", "uat"):
                document = re.sub(r"^  repository:.*\n(    .*\n)*|^    ports:.*\n", "", document.rstrip("\n") + "\n", flags=re.M)
                document = re.sub(r"^(    address: .*)$", r'\1\n    ports: "10022-10031"', document, flags=re.M)
                document += f"  repository: {{volume: {REPOSITORY}}}\n"
            documents.append(document)
        return "---\n".join(documents)

    # -- volumes

    @staticmethod
    def data(host, volume):
        """The volume's directory, as the tests reach it: uat's disk is mounted on uat alone."""
        return VolumeScene.volumes(host) / volume / "_data"

    @staticmethod
    def volumes(host):
        return pathlib.Path(f"/proc/{host.first_process()}/root{host.data_root}/volumes")

    def make_volume(self, volume, fill, host=None):
        host = host or self.production
        host.docker("volume", "create", volume)
        return fill(self.data(host, volume))

    def repository(self, host=None, volume=VOLUME):
        return self.data(host or self.annex, REPOSITORY) / "production2" / volume

    @staticmethod
    def repository_on(host, volume):
        """Its path as the host sees it."""
        return host.data_root / "volumes" / REPOSITORY / "_data/production2" / volume

    def differences(self, restored=None, original=None):
        """Between production's volume and what was restored: nothing but the sockets, or this says what."""
        found = volume_tree.compare(original or self.data(self.production, VOLUME), restored or self.data(self.uat, VOLUME), self.uat.enter())
        return found.beyond(self.sockets)

    # -- what a person writes

    def policy(self, name=POLICY, volumes=(VOLUME,), destinations=("annex2",), **spec):
        return json.dumps({"apiVersion": API, "kind": "BackupPolicy", "metadata": {"name": name, "namespace": "default"}, "spec": {
            "source": {"hostRef": {"name": "production2"}, "volumes": [volume if isinstance(volume, dict) else {"name": volume} for volume in volumes]},
            "destinations": [{"hostRef": {"name": host}} for host in destinations],
            "schedule": {"cron": "0 0 1 1 *"}, **spec}})

    def backup(self, name, policy=POLICY, **spec):
        return json.dumps({"apiVersion": API, "kind": "Backup", "metadata": {"name": name, "namespace": "default"},
                           "spec": {"policyRef": {"name": policy}, **spec}})

    def restore(self, name, source=None, volume=VOLUME, to=None, **spec):
        return json.dumps({"apiVersion": API, "kind": "RestoreRequest", "metadata": {"name": name, "namespace": "default"}, "spec": {
            "target": {"hostRef": {"name": "uat"}},
            "items": [{"name": "files", "from": {**(source or {"backupPolicyRef": {"name": POLICY}}), "volume": volume}, "to": {"volume": to or volume}}],
            "applications": {"stop": {"graceSeconds": 2}}, "keepPreviousSeconds": 0, **spec}})

    def back_up(self, name, policy=POLICY, good=True, **spec):
        """Makes the Backup and returns it when it has ended, well if `good`."""
        self.operator.apply(self.backup(name, policy, **spec))
        return self.end_of("backup", name, good)

    def end_of(self, kind, name, good=True, seconds=180):
        object_ = self.operator.wait(kind, name, is_finished, seconds)
        if good:
            assert condition_of(object_, "Complete").get("status") == "True", explain(object_)
        return object_

    def run_restore(self, name, **options):
        self.operator.apply(self.restore(name, **options))
        return self.end_of("restorerequest", name)

    # -- the mover by itself

    def mover(self, host, job):
        """Runs one job on a host, outside of any container; its result, which must be a good one. Waits for who is at work."""
        program = self.operator.dir / "roadstead-mover"
        if not program.exists():
            run("tar", "-x", "-f", self.operator.mover_image, "-C", self.operator.dir)
        files = [self.operator.dir / name for name in ("job.json", "key")]
        files[0].write_text(json.dumps(job))
        files[1].write_text("0" * 64)

        def answer():
            lines = run(*host.enter(program, "--job", files[0], "--key", files[1]), check=False, timeout=600).stdout.splitlines()
            result = json.loads(lines[-1])["result"]
            return result if result["reason"] != "Busy" else None
        said = wait_for(f"end of other work on {host.name}", answer, 60, every=0.2)
        assert said["ok"], said
        return said["data"]

    def verify(self, host=None, volume=VOLUME):
        """Every extent of a repository read again, by the mover."""
        host = host or self.annex
        found = self.mover(host, {"verb": "verify", "path": str(self.repository_on(host, volume))})
        assert not found["damaged"] and not found["missing"], found

    def restored_by_hand(self, id_, volume=VOLUME):
        """A snapshot's tree, made on annex2 out of its repository; the caller removes it."""
        parent = self.fleet.dir / "restored" / id_
        (parent / "_data").mkdir(parents=True)
        self.mover(self.annex, {"verb": "copy", "role": "Both", "source": {"path": str(self.repository_on(self.annex, volume)), "snapshot": id_},
                                "target": {"parent": str(parent), "request": "by.hand.here"}})
        return parent / ".roadstead/by.hand.here/tree"

    # -- workers

    def snapshots(self, host=None, volume=VOLUME):
        """Ids in a repository, as its files say."""
        folder = self.repository(host, volume) / "snapshots"
        return sorted(name for name in os.listdir(folder) if not name.endswith(".part")) if folder.exists() else []

    def workers(self, name):
        """(host, container) of each worker that any host still has for this object."""
        return [(host, line) for host in self.fleet.hosts.values() for line in host.docker(
            "ps", "-a", "--filter", f"label=dev.roadstead.name={name}", "--filter", "label=dev.roadstead.role=worker",
            "--format", "{{.Names}}").stdout.split()]

    def running_workers(self, name):
        return [(host, line) for host in self.fleet.hosts.values() for line in host.docker(
            "ps", "--filter", f"label=dev.roadstead.name={name}", "--filter", "label=dev.roadstead.role=worker",
            "--format", "{{.Names}}").stdout.split()]

    # -- what must be true

    def assert_application_runs(self, name=APPLICATION):
        said = self.uat.docker("inspect", "-f", "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}", name).stdout.split()
        assert said == ["true", "unless-stopped"], said

    def assert_no_workers(self, name):
        wait_for(f"end of the workers of {name}", lambda: not self.workers(name), 20)
