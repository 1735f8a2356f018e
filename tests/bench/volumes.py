#!/usr/bin/env python3
"""How fast the mover copies volumes, against `rsync -a --delete` over ssh and restic over sftp.

    volumes.py [CASE...] [--runs N] [--quick] [--only CONTENDER...] [--disk] [--hold FILE]

Two hosts of a fleet of its own, the same data, the same run, the contenders in turn; medians are printed. Cases:
large, small (first copy, then unchanged), pages, line. Contenders: repository, staged and in-place (the mover), rsync,
restic.

Each target is a fresh ext4 in a loop file. The files are in memory, so that this machine's disk is not what is
measured: the mover syncs all the same, rsync and restic need not. With --disk they are on the disk, and everybody's
data is synced before the clock stops. Seconds are from the start of the command, or of both containers, to the end;
of the mover also without the engine's time to make a container run. CPU: user and system time of both sides, per GiB
of the tree. Memory: the most that a side's processes had of their own (no page cache). --hold FILE: an exclusive
lock on it is held while the clock runs, so that other work that takes it does not disturb.
"""

import argparse
import contextlib
import datetime
import fcntl
import json
import mmap
import os
import pathlib
import shlex
import shutil
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fleet"))

import volume_tree  # noqa: E402
from fleet import REPOSITORY, Fleet, FleetError, UnixConnection, claim_prefix, ensure_images, in_parallel, run  # noqa: E402

BUILDS = [REPOSITORY / "build" / preset for preset in ("release", "dev")]  # the mover is optimised in both


def newest_build():
    made = [build for build in BUILDS if (build / "bin/roadstead-mover.tar").exists()]
    return max(made, key=lambda build: (build / "bin/roadstead-mover.tar").stat().st_mtime) if made else BUILDS[-1]


BUILD = pathlib.Path(os.environ.get("ROADSTEAD_BUILD") or newest_build())
MIB, GIB = 1 << 20, 1 << 30
ZEROS = bytes(MIB)
PORT = 10022
CONNECTIONS = 4
FIRST, AGAIN = "first copy", "unchanged"


# ----------------------------------------------------------------------------------------------------------------- disks


class Disk:
    """A fresh ext4 in a loop file, mounted on one host alone: what is mounted elsewhere, other fleets would keep."""

    def __init__(self, host, name, mib, folder):
        self.host, self.image = host, folder / f"{host.netns}-{name}.img"
        self.path = host.dir / "bench" / name
        self.device = None
        with open(self.image, "wb") as file:  # written, not reserved: its memory is to be there before the clock runs
            for _ in range(mib):
                file.write(ZEROS)
        run("mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-I", "256", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", self.image)
        self.device = run("losetup", "--find", "--show", "--direct-io=on", self.image).stdout.strip()
        self.mount(host)

    def mount(self, host):
        self.path.mkdir(parents=True, exist_ok=True)
        host.run("mount", "-o", "noinit_itable", self.device, self.path)

    @property
    def seen(self):
        """The path as this program reaches it."""
        return pathlib.Path(f"/proc/{self.host.first_process()}/root{self.path}")

    def folder(self, name):
        (self.seen / name).mkdir(exist_ok=True)
        return self.path / name

    def remove(self):
        with contextlib.suppress(FleetError):
            self.host.run("umount", self.path, check=False)
        if self.device:
            run("losetup", "-d", self.device, check=False)
        self.image.unlink(missing_ok=True)


def touch_memory(most):
    """A virtual machine gets memory that it has not used for a while page by page from its host, which costs whoever is
    first more than all the work on it. It is fetched while no clock runs, for all contenders alike."""
    bytes_ = min(most, free_memory() // 2)
    with mmap.mmap(-1, bytes_) as memory:
        for at in range(0, bytes_, mmap.PAGESIZE):
            memory[at] = 1


def free_memory():
    return next(int(line.split()[1]) << 10 for line in open("/proc/meminfo", encoding="utf-8") if line.startswith("MemAvailable"))


# ------------------------------------------------------------------------------------------------------------- measuring


def call_engine(host, path):
    """Over the engine's API, as the operator does; a client's own start is not measured."""
    connection = UnixConnection(host.socket, timeout=1800)
    try:
        connection.request("POST", path)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise FleetError(f"{path}: {answer.status}: {said.decode(errors='replace')}")
    finally:
        connection.close()


class Side:
    """The control group of everything a host does for a contender: its containers', its sshd's and its commands' processes."""

    TOP = pathlib.Path("/sys/fs/cgroup")

    def __init__(self, host):
        self.host = host
        self.old = (self.TOP / "cpuacct").exists()  # version 1: a hierarchy per resource
        self.groups = {kind: (self.TOP / kind if self.old else self.TOP) / host.netns for kind in ("cpuacct", "memory")}
        for group in set(self.groups.values()):
            (group / "commands").mkdir(parents=True, exist_ok=True)
        for pid in self.host.pids():
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "sshd":
                self.take(pid)

    def take(self, pid):
        """The process and its children to come are counted."""
        for group in set(self.groups.values()):
            (group / "commands/cgroup.procs").write_text(str(pid))

    def cpu_seconds(self):
        if self.old:
            return int((self.groups["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
        return self._stat("cpuacct", "cpu.stat")["usage_usec"] / 1e6

    def own_memory(self):
        """Bytes that are no page cache."""
        stat = self._stat("memory", "memory.stat")
        return stat["total_rss"] if self.old else stat["anon"]

    def _stat(self, kind, file):
        return {name: int(value) for name, value in map(str.split, (self.groups[kind] / file).read_text().splitlines())}

    def wire_bytes(self):
        said = json.loads(run("ip", "-n", self.host.netns, "-s", "-j", "link", "show", "eth0").stdout)[0]["stats64"]
        return said["rx"]["bytes"] + said["tx"]["bytes"]

    def enter(self, *command):
        """The command line that runs this on the host and is counted."""
        groups = " ".join(f"{group}/commands/cgroup.procs" for group in set(self.groups.values()))
        return ["sh", "-c", f'for group in {groups}; do echo $$ > $group; done; exec "$@"', "sh", *self.host.enter(*command)]


class Meter(threading.Thread):
    """What both sides use while it runs."""

    def __init__(self, sides):
        super().__init__(daemon=True)
        self.sides, self.ended = sides, threading.Event()
        self.idle = [side.own_memory() for side in sides]
        self.memory = [0 for _ in sides]
        self.cpu, self.wire = sum(side.cpu_seconds() for side in sides), sides[0].wire_bytes()
        self.began = time.monotonic()
        self.start()

    def run(self):
        while not self.ended.wait(0.03):
            for number, side in enumerate(self.sides):
                self.memory[number] = max(self.memory[number], side.own_memory() - self.idle[number])

    def finish(self):
        seconds = time.monotonic() - self.began
        self.ended.set()
        self.join()
        return {"seconds": seconds, "cpu": sum(side.cpu_seconds() for side in self.sides) - self.cpu,
                "memory": [bytes_ / MIB for bytes_ in self.memory], "wire": self.sides[0].wire_bytes() - self.wire}


# ------------------------------------------------------------------------------------------------------------ contenders


class Contender:
    """One way to bring the tree `source` of production2 to a fresh disk of annex2; run() again brings what changed since."""

    repeats = True  # a second run is worth its time

    def __init__(self, bench, source, mib):
        self.bench, self.source_disk, self.source = bench, source, source.path / "tree"
        self.disk = Disk(bench.target.host, self.name, mib, bench.folder)
        self.prepare()

    def prepare(self):
        pass

    def ready(self):
        """What belongs to the next run and not to its time."""

    def measured(self):
        self.ready()
        with self.bench.quiet():
            meter = Meter((self.bench.origin, self.bench.target))
            try:
                self.run()
                if self.bench.synced:
                    self.disk.host.run("sync", "-f", self.disk.path)
            finally:
                measured = meter.finish()
        return {**measured, "net": measured["seconds"], **self.told()}

    def told(self):
        """What it knows better than the clock."""
        return {}

    def verify(self):
        """Raises if the target is not as the source: a fast copy of something else is none."""

    def remove(self):
        self.disk.remove()

    def same_by_rsync(self, disk, copy):
        """The source's host sees the other disk for as long as it compares."""
        origin = self.bench.origin.host
        disk.mount(origin)
        try:
            differs = volume_tree.by_rsync(self.source, copy, origin.enter())
        finally:
            origin.run("umount", disk.path)
        if differs:
            raise FleetError(f"{self.name}: {len(differs)} differences, the first: {differs[:3]}")


class Rsync(Contender):
    name = "rsync"

    def run(self):
        shell = shlex.join(self.bench.ssh())
        run(*self.bench.origin.enter("rsync", "-a", "--delete", "-e", shell, f"{self.source}/",
                                     f"root@{self.disk.host.address}:{self.disk.folder('copy')}/"), timeout=1800)

    def verify(self):
        self.same_by_rsync(self.disk, self.disk.path / "copy")


class Restic(Contender):
    name = "restic"

    def prepare(self):
        self.cache = pathlib.Path(tempfile.mkdtemp(prefix="restic-", dir=self.bench.directory))
        self.call("init")

    def call(self, *words, check=True):
        sftp = shlex.join([*self.bench.ssh(), f"root@{self.disk.host.address}", "/usr/lib/openssh/sftp-server"])
        return run(*self.bench.origin.enter("env", "RESTIC_PASSWORD=bench", f"RESTIC_CACHE_DIR={self.cache}", "restic", "-q", "-o", f"sftp.command={sftp}",
                                            "-r", f"sftp:root@{self.disk.host.address}:{self.disk.path}/restic", *words), timeout=1800, check=check)

    def run(self):
        self.call("backup", self.source)

    def verify(self):
        self.call("check")

    def remove(self):
        super().remove()
        shutil.rmtree(self.cache, ignore_errors=True)


class Mover(Contender):
    """Both movers in containers, as the operator starts them: annex2 serves and receives, production2 calls and sends."""

    live = False

    def prepare(self):
        self.number, self.result = 0, {}
        self.path = self.disk.folder("sink")

    def ready(self):
        self.number += 1
        link = {"transfer": f"bench-{self.number}", "connections": CONNECTIONS, "waitSeconds": 60, "idleSeconds": 30}
        send = {"verb": "copy", "role": "Send", "source": {"path": "/source", "live": self.live},
                "link": {**link, "mode": "Call", "address": self.disk.host.address, "port": PORT}}
        receive = {"verb": "copy", "role": "Receive", "link": {**link, "mode": "Serve", "port": PORT}, **self.sink_part()}
        self.sides = [(self.disk.host, "bench-receive", receive, ["-p", f"{PORT}:{PORT}", "-v", f"{self.path}:/sink"]),
                      (self.bench.origin.host, "bench-send", send, ["-v", f"{self.source}:/source:ro"])]
        self.bench.make_movers(self.sides)

    def run(self):
        self.bench.run_movers(self.sides)

    def told(self):
        self.result = self.bench.end_of_movers(self.sides)["bench-receive"]
        return {"net": self.result["net"]}


class VolumeSink(Mover):
    """A restore's: into a volume that is there."""

    def request(self):
        return f"default.bench.item-{self.number}"

    def prepare(self):
        super().prepare()
        (self.disk.seen / "sink/_data").mkdir()

    def discard(self):
        self.bench.one_mover(self.disk.host, {"verb": "discard", "parent": "/sink", "request": self.request(), "inode": 0}, self.path)


class Staged(VolumeSink):
    name = "staged"
    repeats = False  # a whole tree is built anew beside what is there

    def sink_part(self):
        return {"target": {"parent": "/sink", "request": self.request()}}

    def ready(self):
        if self.number:  # what was copied is what the application uses now, and the basis of the next
            self.bench.one_mover(self.disk.host, {"verb": "exchange", "parent": "/sink", "request": self.request(),
                                                  "inode": self.result["data"]["treeInode"]}, self.path)
            self.discard()
        super().ready()

    def verify(self):
        self.same_by_rsync(self.disk, self.disk.path / "sink/.roadstead" / self.request() / "tree")


class InPlace(VolumeSink):
    name = "in-place"

    def sink_part(self):
        return {"inPlace": {"parent": "/sink", "request": self.request()}}

    def ready(self):
        if self.number:
            self.discard()
        super().ready()

    def verify(self):
        self.same_by_rsync(self.disk, self.disk.path / "sink/_data")


class Repository(Mover):
    name = "repository"
    live = True  # as a backup of a volume in use is made

    def sink_part(self):
        return {"snapshot": {"path": "/sink", "id": f"default.bench-{self.number}", "origin": {"host": "production2", "volume": "bench"}}}

    def ready(self):
        if self.number > 1:
            self.bench.one_mover(self.disk.host, {"verb": "forget", "path": "/sink", "snapshots": [f"default.bench-{self.number - 1}"]}, self.path)
        super().ready()

    def verify(self):
        said = self.bench.one_mover(self.disk.host, {"verb": "verify", "path": "/sink"}, self.path)
        if said["data"].get("damaged") or said["data"].get("missing"):
            raise FleetError(f"the repository does not verify: {said}")
        copy = Disk(self.disk.host, "restored", self.disk.image.stat().st_size // MIB, self.bench.folder)
        try:
            copy.folder("sink")
            (copy.seen / "sink/_data").mkdir()
            self.bench.one_mover(self.disk.host, {"verb": "copy", "role": "Both", "source": {"path": "/repository", "snapshot": f"default.bench-{self.number}"},
                                                  "target": {"parent": "/sink", "request": "default.bench.item"}},
                                 copy.path / "sink", "-v", f"{self.path}:/repository:ro")
            self.same_by_rsync(copy, copy.path / "sink/.roadstead/default.bench.item/tree")
        finally:
            copy.remove()


CONTENDERS = {contender.name: contender for contender in (Repository, Staged, InPlace, Rsync, Restic)}


class Bench:
    """The two hosts and what all contenders need of them."""

    def __init__(self, directory, fleet, arguments):
        self.directory, self.fleet, self.arguments = directory, fleet, arguments
        self.synced = arguments.disk
        self.folder = directory if arguments.disk else pathlib.Path(tempfile.mkdtemp(prefix="roadstead-bench-", dir="/dev/shm"))
        self.origin, self.target = Side(fleet.production2), Side(fleet.annex2)
        for side in (self.origin, self.target):
            side.host.docker("import", "-c", 'ENTRYPOINT ["/roadstead-mover"]', BUILD / "bin/roadstead-mover.tar", "bench-mover")

    def ssh(self):
        return ["ssh", "-i", str(self.fleet.identity), "-o", f"UserKnownHostsFile={self.fleet.known_hosts}"]

    @contextlib.contextmanager
    def quiet(self):
        """Nothing of the run before is still to be written."""
        os.sync()
        touch_memory(6 * GIB)
        if not self.arguments.hold:
            yield
            return
        with open(self.arguments.hold, "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def make_container(self, host, name, job, key, options):
        with tempfile.TemporaryDirectory() as folder:
            files = pathlib.Path(folder, "roadstead")
            files.mkdir()
            (files / "job.json").write_text(json.dumps(job))
            (files / "key").write_text(key)
            host.docker("rm", "-f", name, check=False)
            host.docker("create", "--name", name, "--log-driver", "json-file", *options, "bench-mover")
            host.docker("cp", f"{folder}/.", f"{name}:/")

    def make_movers(self, sides):
        key = os.urandom(32).hex()
        for host, name, job, options in sides:
            self.make_container(host, name, job, key, options)

    @staticmethod
    def run_movers(sides):
        in_parallel(lambda side: call_engine(side[0], f"/containers/{side[1]}/start"), sides)
        in_parallel(lambda side: call_engine(side[0], f"/containers/{side[1]}/wait"), sides)

    def end_of_movers(self, sides):
        """Results by name, with the seconds in which both ran; removes the containers."""
        results = {name: self.result_of(host, name) for host, name, _, _ in sides}
        bad = {name: said for name, said in results.items() if not said["ok"]}
        if bad:
            raise FleetError(f"the mover failed: {bad}")
        starts, ends = zip(*(self.times_of(host, name) for host, name, _, _ in sides))
        for host, name, _, _ in sides:
            host.docker("rm", name)
        return {name: {**said, "net": (max(ends) - max(starts)).total_seconds()} for name, said in results.items()}

    def one_mover(self, host, job, path, *options):
        self.make_container(host, "bench-one", job, "", ["-v", f"{path}:/sink", *options])
        host.docker("start", "-a", "bench-one", timeout=1800, check=False)
        said = self.result_of(host, "bench-one")
        if not said["ok"]:
            raise FleetError(f"{job['verb']}: {said}")
        return said

    @staticmethod
    def result_of(host, name):
        lines = host.docker("logs", name).stdout.strip().splitlines()
        if not lines or "result" not in lines[-1]:
            raise FleetError(f"{name} said nothing; its errors: {host.docker('logs', name).stderr[-500:]}")
        return json.loads(lines[-1])["result"]

    @staticmethod
    def times_of(host, name):
        said = host.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", name).stdout.split()
        return [datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00") for text in said]

    @contextlib.contextmanager
    def shaped_to(self, mbit):
        """Until the end of the block neither host sends faster than this."""
        sides = (self.origin.host, self.target.host)
        for host in sides:
            run("tc", "-n", host.netns, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", f"{mbit}mbit", "burst", "256kb", "latency", "50ms")
        try:
            yield
        finally:
            for host in sides:
                run("tc", "-n", host.netns, "qdisc", "del", "dev", "eth0", "root", check=False)

    @contextlib.contextmanager
    def source(self, mib):
        if not self.arguments.disk and free_memory() < 3 * mib * MIB:
            raise FleetError(f"{3 * mib} MiB of free memory are needed for source, copies and their caches; use --disk")
        disk = Disk(self.origin.host, "source", mib, self.folder)
        try:
            disk.folder("tree")
            yield disk
        finally:
            disk.remove()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


# ----------------------------------------------------------------------------------------------------------------- cases


def contest(bench, source, mib, steps, runs=None):
    """Each contender in turn, on a fresh disk, does `steps`: name -> what to do before (None: nothing)."""
    found = {step: {name: [] for name in bench.arguments.only} for step in steps}
    for number in range(runs or bench.arguments.runs):
        for name in bench.arguments.only:
            contender = CONTENDERS[name](bench, source, mib)
            try:
                for step in steps[:None if contender.repeats else 1]:
                    found[step][name].append(contender.measured())
                    tell(name, step, found[step][name][-1])
                if number == 0 and not bench.arguments.no_verify:
                    contender.verify()
            finally:
                contender.remove()
    return found


def large(bench):
    size = bench.scaled(2 * GIB)
    with bench.source(size // MIB * 5 // 4 + 64) as source:
        for number in range(8):
            volume_tree.large_file(source.seen / f"tree/large-{number}", size // 8)
        report("2 GiB in large files" if size == 2 * GIB else f"{size // MIB} MiB in large files", contest(bench, source, size // MIB * 3 // 2 + 256, [FIRST]), size, {FIRST: 3})


def small(bench):
    count = bench.scaled(200_000)
    with bench.source(count // 40 + 512) as source:
        size = volume_tree.small_files(source.seen / "tree", count)
        time.sleep(61)  # files that have just been made are not taken for unchanged by the next backup
        report(f"{count:,} files of 1-32 KiB, {size / 1e9:.1f} GB", contest(bench, source, count // 40 + 512, [FIRST, AGAIN]), size, {FIRST: 4, AGAIN: 2})


def pages(bench):
    size = bench.scaled(2 * GIB)
    found = {name: [] for name in bench.arguments.only}
    with bench.source(size // MIB * 5 // 4 + 64) as source:
        for number in range(8):
            volume_tree.large_file(source.seen / f"tree/large-{number}", size // 8)
        for name in bench.arguments.only:  # one after another: all of their disks together are more than memory
            contender = CONTENDERS[name](bench, source, size // MIB * 5 // 2 + 512)
            try:
                contender.measured()
                for number in range(bench.arguments.runs):
                    changed = volume_tree.change_pages(source.seen / "tree", 0.02)
                    found[name].append(contender.measured())
                    tell(name, "changed", found[name][-1])
                if not bench.arguments.no_verify:
                    contender.verify()
            finally:
                contender.remove()
    report("2 % of 8 KiB pages changed", {"changed": found}, size, {"changed": 3}, changed)


def line(bench):
    size = bench.scaled(GIB)
    with bench.source(size // MIB * 5 // 4 + 64) as source, bench.shaped_to(1000):
        for number in range(4):
            volume_tree.large_file(source.seen / f"tree/log-{number}", size // 4, volume_tree.log_like)
        report("a line of 1 Gbit/s, compressible", contest(bench, source, size // MIB * 3 // 2 + 256, [FIRST]), size, {}, line_rate=125e6)


CASES = {"large": large, "small": small, "pages": pages, "line": line}


def tell(name, step, one):
    """A line to the standard error, for those who wait."""
    print(f"# {name}, {step}: {one['seconds']:.2f} s, net {one['net']:.2f}, CPU {one['cpu']:.2f} s", file=sys.stderr, flush=True)


def report(title, found, size, aims, changed=None, line_rate=None):
    """A line per step and contender: medians; against rsync's of the same step."""
    for step, contenders in found.items():
        aim = f"; aim {aims[step]}x of rsync" if step in aims else ""
        print(f"\n{title}: {step}{aim}{'; aim 2x of the line' if line_rate else ''}", flush=True)
        print(f"  {'':11}{'seconds':>8}{'net':>7}{'min-max':>12}{'MB/s':>7}{'ratio':>7}{'net':>6}{'CPU s/GiB':>11}{'memory MiB, from+to':>21}{'wire MB':>9}", flush=True)
        median = {name: {key: statistics.median(one[key] for one in seen) for key in ("seconds", "net", "cpu", "wire")} for name, seen in contenders.items() if seen}
        basis = median.get("rsync", {}).get("seconds")
        for name, seen in ((name, seen) for name, seen in contenders.items() if seen):
            values = median[name]
            memory = [max(one["memory"][side] for one in seen) for side in (0, 1)]
            ratio, net = (f"{basis / values[key]:.2f}" if basis else "" for key in ("seconds", "net"))
            spread = f"{min(one['seconds'] for one in seen):.2f}-{max(one['seconds'] for one in seen):.2f}"
            extra = f"  wire/changed {values['wire'] / changed:.2f}" if changed else ""
            extra += f"  {size / values['seconds'] / line_rate:.2f}x the line (net {size / values['net'] / line_rate:.2f})" if line_rate else ""
            print(f"  {name:11}{values['seconds']:8.2f}{values['net']:7.2f}{spread:>12}{size / values['seconds'] / 1e6:7.0f}{ratio:>7}{net:>6}"
                  f"{values['cpu'] / (size / GIB):11.2f}{memory[0]:12.0f} +{memory[1]:7.0f}{values['wire'] / 1e6:9.1f}{extra}", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, one run: for development")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--disk", action="store_true")
    parser.add_argument("--no-verify", action="store_true", help="do not look at what arrived")
    parser.add_argument("--hold", metavar="FILE")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if arguments.quick:
        arguments.runs = 1
    return arguments


def main():
    arguments = parse()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="roadstead-bench-"))
    fleet = Fleet(directory / "fleet", claim_prefix("rsvol"))
    bench = None
    try:
        ensure_images()
        fleet.up(say=lambda _: None)
        bench = Bench(directory, fleet, arguments)
        bench.scaled = lambda amount: amount // 10 if arguments.quick else amount
        print(f"mover: {BUILD}, {CONNECTIONS} connections; disks in {'loop files on the disk, all synced' if arguments.disk else 'memory'}; "
              f"{os.cpu_count()} cores; medians of {arguments.runs}", flush=True)
        for case in arguments.cases or CASES:
            CASES[case](bench)
    finally:
        if bench:
            bench.remove()
        fleet.down(say=lambda _: None)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
