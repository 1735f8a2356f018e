"""The operator as a person runs it: the real program on a fleet, spoken to by its own command line."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import fleet as fleet_module
from fleet import wait_for

REPOSITORY = fleet_module.REPOSITORY
EXAMPLES = REPOSITORY / "examples/montagu"
BUILD = pathlib.Path(os.environ.get("ROADSTEAD_BUILD", REPOSITORY / "build/dev"))
PROGRAM = BUILD / "bin/roadstead"
MOVER_IMAGE = BUILD / "bin/roadstead-mover.tar"


def free_port():
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def for_fleet(text, fleet):
    """A manifest of examples/montagu with this fleet's addresses, keys and images in place of the site's."""
    for host in fleet.hosts.values():
        text = re.sub(rf"ssh://\w+@{host.name}\.example\.org\S*?(?=[\"\s,}}]|$)", host.endpoint, text, flags=re.M)
        text = text.replace(f"{host.name}.example.org", host.address)
    text = re.sub(r"/etc/roadstead/ssh/id_ed25519", str(fleet.identity), text)
    text = re.sub(r"/etc/roadstead/ssh/known_hosts", str(fleet.known_hosts), text)
    for user in ("streaming_barman", "barman"):
        text = re.sub(rf"/etc/roadstead/\S*\b{user}(?=[\"\s,}}])", str(fleet.dir / "secrets" / user), text)
    return re.sub(r"ghcr\.io/vimc/montagu-db:\w+", fleet_module.POSTGRES_IMAGE, text)


class CommandFailed(Exception):
    pass


class Operator:
    """One operator with a data directory and a manifests directory of its own."""

    def __init__(self, fleet, directory, build=BUILD):
        self.fleet, self.dir = fleet, pathlib.Path(directory)
        self.program, self.mover_image = build / "bin/roadstead", build / "bin/roadstead-mover.tar"
        self.data, self.manifests = self.dir / "data", self.dir / "manifests"
        self.log = self.dir / "operator.log"
        self.port, self.metrics_port = free_port(), free_port()
        self.process = None
        self.manifests.mkdir(parents=True, exist_ok=True)

    # -- manifests

    def write_example_manifests(self, change=lambda text: text):
        """examples/montagu, but for the restore, with this fleet's addresses."""
        for path in sorted(EXAMPLES.glob("*.yaml")):
            (self.manifests / path.name).write_text(change(for_fleet(path.read_text(), self.fleet)))

    def restore_example(self, name="uat-november", **replaced):
        """The example's RestoreRequest under another name; `replaced` are texts to put in place of others."""
        text = for_fleet((EXAMPLES / "restore/uat-november.yaml").read_text(), self.fleet)
        text = text.replace("uat-november", name).replace("keepPreviousSeconds: 86400", "keepPreviousSeconds: 0")
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text

    # -- the process

    def start(self):
        """Returns when it is ready to be asked."""
        self.launch()
        wait_for(f"operator (log: {self.log})", self._answers, 60)
        return self

    def launch(self):
        """Starts the process and does not wait."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "operator", "--data", self.data, "--manifests", self.manifests,
                 "--listen", f"127.0.0.1:{self.port}", "--metrics-listen", f"127.0.0.1:{self.metrics_port}",
                 "--mover-image", self.mover_image],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.fleet.adopt(self.process)

    def _answers(self):
        if self.process.poll() is not None:
            raise fleet_module.FleetError(f"the operator ended with {self.process.returncode}; see {self.log}")
        return self.data.joinpath("admin.kubeconfig").exists() and self.cli("get", "hosts", check=False).returncode == 0

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode

    def restart(self):
        self.kill()
        return self.start()

    def lose_store(self):
        """Deletes everything the operator knows; only while it does not run."""
        for left in self.data.glob("roadstead.db*"):
            left.unlink()

    # -- the command line

    def cli(self, *args, check=True, text=None, timeout=120):
        done = subprocess.run([self.program, *map(str, args), "--kubeconfig", self.data / "admin.kubeconfig"], input=text,
                              capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise CommandFailed(f"roadstead {' '.join(map(str, args))}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def apply(self, text):
        return self.cli("apply", "-f", "-", text=text).stdout

    def get(self, kind, name):
        """The object, or None."""
        done = self.cli("get", kind, name, "-o", "json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def items(self, kind):
        return json.loads(self.cli("get", kind, "-A", "-o", "json").stdout)["items"]

    def wait(self, kind, name, condition, seconds, every=0.2):
        """Polls until condition(object) is true and returns the object; the error shows its last status."""
        last = {}

        def look():
            with contextlib.suppress(subprocess.TimeoutExpired):
                last["object"] = self.get(kind, name)
            return last.get("object") if last.get("object") and condition(last["object"]) else None

        try:
            return wait_for(f"{kind} {name}", look, seconds, every)
        except fleet_module.FleetError as error:
            status = (last.get("object") or {}).get("status")
            raise AssertionError(f"{error}; its status: {json.dumps(status, indent=1)}; operator's log: {self.log}") from None

    def wait_condition(self, kind, name, type_, status="True", seconds=120):
        return self.wait(kind, name, lambda o: condition_of(o, type_).get("status") == status, seconds)

    def events(self, kind, name):
        done = self.cli("describe", kind, name, check=False)
        return done.stdout

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, series):
        """The value of one series, given as it is printed; None if it is not there."""
        for line in self.metrics().splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def condition_of(object_, type_):
    for condition in (object_.get("status") or {}).get("conditions", []):
        if condition["type"] == type_:
            return condition
    return {}


def is_finished(object_):
    return any(condition_of(object_, type_).get("status") == "True" for type_ in ("Complete", "Failed"))


class ProgressWatch(threading.Thread):
    """Samples a RestoreRequest's or Backup's progress in the background; for tests that it never goes backwards."""

    def __init__(self, operator, kind, name):
        super().__init__(daemon=True)
        self.operator, self.kind, self.name_ = operator, kind, name
        self.samples, self.ended = [], threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.3):
            with contextlib.suppress(Exception):
                object_ = self.operator.get(self.kind, self.name_)
                if object_:
                    self.samples.append((time.time(), object_.get("status") or {}))

    def finish(self):
        self.ended.set()
        self.join()
        return self.samples
