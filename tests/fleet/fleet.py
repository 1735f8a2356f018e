#!/usr/bin/env python3
"""Three hosts on one machine, each with its own network address, Docker Engine and sshd.

    fleet.py images                                  build the images into the cache (needs a network the first time)
    fleet.py up     [--dir D] [--prefix P] [--subnet A.B.C.0/24] [--uat-disk-mib N]
    fleet.py down   [--dir D] [--prefix P]           also after a crash; finds everything by the prefix
    fleet.py status | env                            what runs | addresses and sockets as shell variables
    fleet.py production | uat-app                    start the database on production2 | an old one and its application on uat
    fleet.py writer start|stop|status [--rate N]     rows into production2, and a log of those that were acknowledged
    fleet.py docker HOST ARGS... | psql HOST SQL     the docker command of that host | a query in its montagu-db
    fleet.py power-off|power-on HOST                 pull the plug: every process of the host dies at once
    fleet.py engine-stop|engine-start|unplug|plug HOST

--dir (default: $ROADSTEAD_FLEET or /tmp/roadstead-fleet) holds all state and `fleet.json`, which describes the fleet to other
programs. Two fleets need different directories and prefixes (at most 8 characters, default `rs0`); the subnet follows from
the prefix unless given. Root is needed. Needs: docker.io (or another dockerd), iptables, iproute2, util-linux, openssh-server,
tini; to build images also debootstrap. No name service: hosts reach each other by address; containers by `ExtraHosts`.

A host is a process tree in a pid, mount and network namespace of its own, with a /run of its own: so /run/docker.sock is *its*
engine when one comes in by ssh, as on a real machine; from outside the same socket is /run/roadstead-P/HOST/docker.sock.
Killing the tree's first process kills engine, containers and sshd and drops every mount: nothing can be left over.
The hosts share the files of this machine otherwise (programs, /etc), but not the engine's data.

Images come from archives in ${ROADSTEAD_CACHE:-~/.cache/roadstead}. So that a fleet is up in seconds, an engine directory with
the images loaded is kept there too, and its layers are hard-linked (layers are never written to).
"""

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import ipaddress
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("ROADSTEAD_CACHE") or pathlib.Path.home() / ".cache/roadstead")
NETNS = pathlib.Path("/run/netns")

BARMAN_IMAGE = "roadstead/barman:3.19-pg17"
POSTGRES_IMAGE = "roadstead/test-postgres:17"
BASE_IMAGE = "trixie"
IMAGES = {  # tag -> folder of its Dockerfile
    BARMAN_IMAGE: REPOSITORY / "images/barman",
    POSTGRES_IMAGE: REPOSITORY / "tests/fleet/postgres",
}
HOSTS = {  # name -> last number of its address, images it has from the start
    "production2": (11, (POSTGRES_IMAGE,)),
    "annex2": (12, (BARMAN_IMAGE, POSTGRES_IMAGE)),
    "uat": (13, (POSTGRES_IMAGE,)),
}
DATA_PORTS = "10022-10031"
LINE_BURST, LINE_LATENCY = 256 << 10, 0.1  # of slow lines: bytes, seconds
DATABASE = "montagu-db"
VOLUME = "montagu_db_volume"
WRITER_LOG = "writer.jsonl"


class FleetError(Exception):
    """Says what failed, where, and what to do next."""


def run(*command, check=True, timeout=120, **options):
    """Runs a command and returns the finished process, output captured as text."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    if check and done.returncode != 0:
        raise FleetError(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-800:]}")
    return done


def wait_for(what, condition, seconds=30.0, every=0.05):
    """Polls until `condition()` is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise FleetError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


# ---------------------------------------------------------------------------------------------------------------- engine


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=5):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def engine_answers(socket_path):
    """Whether an engine answers a ping on this socket."""
    connection = UnixConnection(socket_path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def docker(socket_path, *args, check=True, timeout=300, **options):
    """Runs the docker command against the engine at this socket."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    environment.pop("DOCKER_CONTEXT", None)
    return run("docker", "-H", f"unix://{socket_path}", *args, check=check, timeout=timeout, env=environment, **options)


def dockerd_version():
    return run("dockerd", "--version").stdout.strip()


@contextlib.contextmanager
def workshop_engine(data_root):
    """An engine without networks, to build or load images; yields its socket. It cannot outlive this program."""
    run_dir = pathlib.Path(f"/run/roadstead-workshop-{os.getpid()}")
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir(parents=True)
    data_root.mkdir(parents=True, exist_ok=True)
    socket_path = run_dir / "docker.sock"
    mount_cgroups()
    with open(run_dir / "log", "wb") as log:
        holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "tini", "-s", "--",
             "dockerd", "--bridge=none", "--iptables=false", "--ip-forward=false", "--exec-opt", "native.cgroupdriver=cgroupfs",
             "--cgroup-parent", f"/{run_dir.name}", "--data-root", data_root, "--exec-root", run_dir / "exec",
             "--pidfile", run_dir / "pid", "-H", f"unix://{socket_path}"],
            stdout=log, stderr=log)
    try:
        wait_for(f"workshop engine (log: {run_dir}/log)", lambda: engine_answers(socket_path) or holder.poll() is not None)
        if holder.poll() is not None:
            raise FleetError("workshop engine ended: " + (run_dir / "log").read_text(errors="replace")[-1500:])
        yield socket_path
    finally:
        for child in children_of(holder.pid):  # tini passes SIGTERM on; a clean end leaves a clean data directory
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        try:
            holder.wait(30)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()
        remove_cgroups(run_dir.name)
        shutil.rmtree(run_dir, ignore_errors=True)


def children_of(pid):
    with contextlib.suppress(OSError):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


# --------------------------------------------------------------------------------------------------------------- cgroups


def mount_cgroups():
    """On a machine without an init that does it."""
    if not any(line.split()[2] in ("cgroup", "cgroup2") for line in open("/proc/mounts", encoding="utf-8")):
        run("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup")


def remove_cgroups(name):
    """Removes the empty groups `name` in every hierarchy, innermost first."""
    root = pathlib.Path("/sys/fs/cgroup")
    for top in {root / name, *root.glob(f"*/{name}")}:
        for path, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)


# ---------------------------------------------------------------------------------------------------------------- images


def digest_of(folder):
    """Hash over the files of a folder: names, modes, contents."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o777:o}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def image_key(tag):
    base = hashlib.sha256((REPOSITORY / "images/base.sh").read_bytes()).hexdigest()
    return hashlib.sha256(f"{base} {digest_of(IMAGES[tag])}".encode()).hexdigest()[:16]


def image_archive(tag):
    return CACHE / "images" / f"{re.sub(r'[^a-z0-9.]+', '-', tag)}-{image_key(tag)}.tar"


def engine_template(tags):
    """Where an engine's data directory with these images loaded is kept."""
    key = hashlib.sha256(" ".join([dockerd_version(), *sorted(image_key(tag) for tag in tags)]).encode()).hexdigest()[:16]
    return CACHE / "engines" / f"{len(tags)}-{key}"


@contextlib.contextmanager
def cache_lock():
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_images(say=print):
    """Builds what the cache lacks: archives of the images, and engine directories with them loaded."""
    with cache_lock():
        missing = [tag for tag in IMAGES if not image_archive(tag).exists()]
        if missing:
            build_images(missing, say)
        for tags in {tags for _, tags in HOSTS.values()}:
            if not engine_template(tags).exists():
                make_engine_template(tags, say)


def build_images(tags, say):
    (CACHE / "images").mkdir(parents=True, exist_ok=True)
    with workshop_engine(CACHE / "workshop") as engine:
        made = subprocess.run([REPOSITORY / "images/base.sh", "-H", f"unix://{engine}", BASE_IMAGE], check=False)
        if made.returncode != 0:
            raise FleetError(f"images/base.sh {BASE_IMAGE}: exit {made.returncode}; its last lines above say why")
        for tag in tags:
            say(f"building {tag}")
            docker(engine, "build", "--network", "host", "-t", tag, IMAGES[tag], timeout=1800)
            archive = image_archive(tag)
            docker(engine, "save", "-o", f"{archive}.part", tag, timeout=600)
            for old in archive.parent.glob(re.sub(r"-[0-9a-f]{16}\.tar$", "", archive.name) + "-*.tar"):
                old.unlink()
            os.rename(f"{archive}.part", archive)


def make_engine_template(tags, say):
    template = engine_template(tags)
    part = template.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    say(f"loading {', '.join(tags)} for the cache")
    with workshop_engine(part) as engine:
        for tag in tags:
            docker(engine, "load", "-q", "-i", image_archive(tag), timeout=600)
    for entry in part.iterdir():  # only the images; the rest belongs to one engine
        if entry.name not in ("image", "overlay2"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for old in template.parent.glob(f"{len(tags)}-*"):
        if old != part:
            shutil.rmtree(old)
    part.rename(template)


def copy_engine_template(template, data_root):
    """A new engine directory: metadata copied, layers hard-linked where the file system allows."""
    data_root.mkdir(parents=True, exist_ok=True)
    if not (template / "image").is_dir() or not (template / "overlay2").is_dir():
        return  # another image store: the archives are loaded instead
    run("cp", "-a", template / "image", data_root)
    if run("cp", "-al", template / "overlay2", data_root, check=False).returncode != 0:
        shutil.rmtree(data_root / "overlay2", ignore_errors=True)
        run("cp", "-a", template / "overlay2", data_root, timeout=600)


# ----------------------------------------------------------------------------------------------------------------- hosts


class Host:
    """One machine of the fleet."""

    def __init__(self, fleet, name):
        self.fleet, self.name = fleet, name
        number, self.images = HOSTS[name]
        self.address = str(fleet.subnet[number])
        self.bridge_address = f"172.30.{number}.1/24"
        self.netns = f"{fleet.prefix}-{name}"
        self.dir = fleet.dir / name
        self.run_dir = pathlib.Path(f"/run/roadstead-{fleet.prefix}/{name}")  # short: a socket's path has 107 characters
        self.socket = self.run_dir / "docker.sock"
        self.data_root = self.dir / "docker"
        self.disk = self.dir / "volumes.img"
        self.endpoint = f"ssh://root@{self.address}:22/run/docker.sock"

    # -- the machine

    def pids(self):
        return pids_in(self.netns)

    def first_process(self):
        """Pid, seen from outside, of the host's own pid 1; None if the host is off."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                numbers = re.search(r"^NSpid:(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
                if numbers and numbers[1].split()[1:] == ["1"]:
                    return pid
        return None

    def enter(self, *command):
        """The command line that runs `command` on this host."""
        pid = self.first_process()
        if pid is None:
            raise FleetError(f"host {self.name} is off; fleet.py power-on {self.name}")
        return ["nsenter", "-t", str(pid), "-n", "-m", "-p", "--", *map(str, command)]

    def run(self, *command, **options):
        return run(*self.enter(*command), **options)

    def power_on(self):
        """Starts the host's processes; returns when engine and sshd answer."""
        if self.first_process() is None:
            self._boot()
        self.start_engine()
        self.start_sshd()

    def _boot(self):
        for entry in self.run_dir.iterdir() if self.run_dir.exists() else ():  # /run is empty after a boot
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.run_dir.mkdir(parents=True, exist_ok=True)
        etc_docker = self.dir / "etc-docker"  # older engines keep their identity there
        etc_docker.mkdir(parents=True, exist_ok=True)
        pathlib.Path("/etc/docker").mkdir(exist_ok=True)
        (self.data_root / "volumes").mkdir(parents=True, exist_ok=True)
        script = 'set -e; mount --bind "$1" /run; mount --bind "$2" /etc/docker; mkdir /run/sshd /run/lock\n'
        # dockerd would put its data directory over itself as a shared mount, and hide the disk for volumes beneath it
        script += 'mount --bind "$4" "$4"; mount --make-shared "$4"\n'
        script += 'if [ -e "$3" ]; then mount -o loop "$3" "$4/volumes"; fi\n'
        script += 'exec tini -s -- sleep infinity'
        with open(self.dir / "boot.log", "ab") as log:
            subprocess.Popen(
                ["nsenter", f"--net={NETNS / self.netns}", "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                 "--mount-proc", "sh", "-c", script, f"roadstead-{self.netns}",
                 self.run_dir, etc_docker, self.disk, self.data_root],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_for(f"host {self.name} (log: {self.dir}/boot.log)",
                 lambda: self.first_process() and (self.run_dir / "lock").exists() and self._settled(), 10)

    def _settled(self):
        """The boot script has become the sleeper; its mounts are there."""
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{self.first_process()}/comm").read_text().strip() == "tini"
        return False

    def power_off(self):
        """As if the plug was pulled: every process gone, files as they were."""
        kill_all_in(self.netns)

    def unplug(self):
        """Takes the network away; everything keeps running."""
        run("ip", "-n", self.netns, "link", "set", "eth0", "down")

    def plug(self):
        run("ip", "-n", self.netns, "link", "set", "eth0", "up")

    # -- its services

    def start_engine(self):
        if engine_answers(self.socket):
            return
        (self.run_dir / "docker.pid").unlink(missing_ok=True)  # a stale number may be somebody else's by now
        with open(self.dir / "dockerd.log", "ab") as log:
            subprocess.run(
                self.enter("setsid", "--fork", "dockerd", "--data-root", self.data_root, "--exec-root", "/run/docker",
                           "--pidfile", "/run/docker.pid", "-H", "unix:///run/docker.sock", "--bip", self.bridge_address,
                           "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self.netns}",
                           "--shutdown-timeout", "15"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        wait_for(f"engine of {self.name} (log: {self.dir}/dockerd.log)", lambda: engine_answers(self.socket))

    def stop_engine(self, hard=False):
        """Stops the engine alone: in order, which stops its containers, or `hard`, which leaves them without one."""
        pid_file = self.run_dir / "docker.pid"
        if not pid_file.exists():
            return
        pid = pid_file.read_text().strip()
        self._kill("KILL" if hard else "TERM", pid)
        wait_for(f"end of the engine of {self.name}", lambda: not self._kill("0", pid), 60)

    def _kill(self, signal_name, pid):
        """Whether there was such a process; `pid` as this host counts."""
        return self.run("sh", "-c", f"kill -{signal_name} {pid}", check=False).returncode == 0

    def start_sshd(self):
        if port_answers(self.address, 22):
            return
        options = {
            "Port": 22, "ListenAddress": self.address, "HostKey": self.dir / "ssh_host_ed25519_key", "PidFile": "/run/sshd.pid",
            "AuthorizedKeysFile": self.fleet.dir / "ssh/authorized_keys", "StrictModes": "no", "UsePAM": "no", "UseDNS": "no",
            "PermitRootLogin": "prohibit-password", "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no",
            "AllowStreamLocalForwarding": "yes", "X11Forwarding": "no", "PrintMotd": "no",
            "MaxStartups": "100:30:200",
        }
        config = self.dir / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in options.items()))
        self.run("/usr/sbin/sshd", "-f", config, "-E", self.dir / "sshd.log")
        wait_for(f"sshd of {self.name} (log: {self.dir}/sshd.log)", lambda: port_answers(self.address, 22), 10)

    # -- what tests do with it

    def docker(self, *args, **options):
        """Runs the docker command against this host's engine; the finished process, text output."""
        return docker(self.socket, *args, **options)

    def psql(self, sql, database="montagu", user="postgres", container=DATABASE, **options):
        """Runs SQL in the database container; the answer, unaligned, without headers."""
        return self.docker("exec", "-i", container, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-c", sql,
                           **options).stdout.rstrip("\n")

    def load_missing_images(self):
        for tag in self.images:
            if self.docker("image", "inspect", tag, check=False).returncode != 0:
                self.docker("load", "-q", "-i", image_archive(tag), timeout=600)


def pids_in(netns):
    """Pids of all processes in a named network namespace; empty if there is no such name."""
    path = NETNS / netns
    if not path.exists():
        return []
    return [int(pid) for pid in run("ip", "netns", "pids", netns, check=False).stdout.split()]


def kill_all_in(netns):
    """Kills them; the containers, in pid namespaces below, go with the host's pid 1."""
    def none_left():
        for pid in pids_in(netns):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids_in(netns)
    wait_for(f"end of the processes of {netns}", none_left, 20)


def port_answers(address, port):
    try:
        with socket.create_connection((address, port), 1):
            return True
    except OSError:
        return False


# ----------------------------------------------------------------------------------------------------------------- fleet


class Fleet:
    """All hosts, their network and the programs that play the users' part."""

    def __init__(self, directory, prefix="rs0", subnet=None, uat_disk_mib=0):
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", prefix):
            raise FleetError(f"prefix {prefix!r}: one to eight lower-case letters and digits, a letter first")
        self.dir, self.prefix, self.uat_disk_mib = pathlib.Path(directory).resolve(), prefix, uat_disk_mib
        self.subnet = ipaddress.ip_network(subnet) if subnet else default_subnet(prefix)
        self.gateway = str(self.subnet[1])  # this machine, where operator and tests run
        self.lan = f"{prefix}-lan"
        self.hosts = {name: Host(self, name) for name in HOSTS}
        self.identity, self.known_hosts = self.dir / "ssh/id_ed25519", self.dir / "ssh/known_hosts"
        self.writer = Writer(self)

    @classmethod
    def load(cls, directory):
        """The fleet that `up` described in this directory."""
        path = pathlib.Path(directory) / "fleet.json"
        try:
            said = json.loads(path.read_text())
        except FileNotFoundError:
            raise FleetError(f"no fleet in {directory}; fleet.py up --dir {directory}") from None
        return cls(said["dir"], said["prefix"], said["subnet"], said["uatDiskMiB"])

    def __getattr__(self, name):  # fleet.annex2
        hosts = self.__dict__.get("hosts", {})
        if name in hosts:
            return hosts[name]
        raise AttributeError(name)

    # -- up and down

    def up(self, say=print):
        """Brings all hosts up, from nothing or from the rest of a crashed fleet."""
        self.down(say=lambda _: None)
        ensure_images(say)
        mount_cgroups()
        self.dir.mkdir(parents=True, exist_ok=True)
        directory_file(self.prefix).parent.mkdir()
        if self.prefix in CLAIMED:
            borrowed_file(self.prefix).touch()
        directory_file(self.prefix).write_text(str(self.dir))
        try:
            self._make_secrets()
            self._make_network()
            for host in self.hosts.values():
                copy_engine_template(engine_template(host.images), host.data_root)
            if self.uat_disk_mib:
                self._make_small_disk(self.uat)
            in_parallel(self._install, self.hosts.values())
            self._describe()
        except BaseException:
            self.down(say=lambda _: None, keep_logs=True)
            raise
        say(f"fleet {self.prefix} is up: {', '.join(f'{h.name} {h.address}' for h in self.hosts.values())}; see {self.dir}/fleet.json")

    def _install(self, host):
        host.power_on()
        host.load_missing_images()

    def down(self, say=print, keep_logs=False):
        """Takes everything down, whatever is still there of it. Safe to repeat."""
        owner = directory_of(self.prefix)
        if owner not in (None, self.dir):
            raise FleetError(f"prefix {self.prefix} belongs to the fleet in {owner}; give --dir {owner}, or another --prefix")
        self.writer.stop()
        self._end_companions()
        for netns in [path.name for path in NETNS.glob(f"{self.prefix}-*")] if NETNS.exists() else ():
            if netns == self.lan or netns[len(self.prefix) + 1:] in HOSTS:
                kill_all_in(netns)
                run("ip", "netns", "del", netns)
        run("ip", "link", "del", f"{self.prefix}-root", check=False)
        for line in reversed(open("/proc/mounts", encoding="utf-8").readlines()):
            where = line.split()[1]
            if where.startswith(f"{self.dir}/"):
                run("umount", "-l", where, check=False)
        for host in self.hosts.values():
            remove_cgroups(host.netns)
            for line in run("losetup", "-j", host.disk, check=False).stdout.splitlines():
                run("losetup", "-d", line.split(":")[0], check=False)
            for left in (host.data_root, host.disk) if keep_logs else (host.dir,):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        shutil.rmtree(f"/run/roadstead-{self.prefix}", ignore_errors=True)
        if not keep_logs:
            for left in ("ssh", "secrets"):
                shutil.rmtree(self.dir / left, ignore_errors=True)
            for left in ("fleet.json", WRITER_LOG, "writer.pid", "writer.err"):
                (self.dir / left).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.dir.rmdir()
        say(f"fleet {self.prefix} is down")

    def adopt(self, process):
        """Puts a process that works with the fleet under its care: `down` kills it, also in a later program."""
        began = started_at(process.pid)
        if began is not None:
            with open(companions_file(self.prefix), "a", encoding="utf-8") as companions:
                companions.write(f"{process.pid} {began}\n")

    def _end_companions(self):
        with contextlib.suppress(FileNotFoundError):
            for line in companions_file(self.prefix).read_text().splitlines():
                pid, began = map(int, line.split())
                if started_at(pid) == began:
                    os.kill(pid, signal.SIGKILL)
                    wait_for(f"end of process {pid}", lambda pid=pid, began=began: started_at(pid) != began, 20)

    def _make_network(self):
        """A switch in a namespace of its own, so that this machine's packet filter has no say between hosts."""
        root = f"{self.prefix}-root"
        run("ip", "netns", "add", self.lan)
        run("ip", "-n", self.lan, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", self.lan, "link", "set", "switch", "up")
        run("ip", "link", "add", root, "type", "veth", "peer", "name", "root", "netns", self.lan)
        run("ip", "addr", "add", f"{self.gateway}/{self.subnet.prefixlen}", "dev", root)
        run("ip", "link", "set", root, "up")
        run("ip", "-n", self.lan, "link", "set", "root", "master", "switch", "up")
        for host in self.hosts.values():
            run("ip", "netns", "add", host.netns)
            run("ip", "-n", host.netns, "link", "add", "eth0", "type", "veth", "peer", "name", host.name, "netns", self.lan)
            run("ip", "-n", self.lan, "link", "set", host.name, "master", "switch", "up")
            run("ip", "-n", host.netns, "addr", "add", f"{host.address}/{self.subnet.prefixlen}", "dev", "eth0")
            for device in ("lo", "eth0"):
                run("ip", "-n", host.netns, "link", "set", device, "up")

    def _make_secrets(self):
        for name in ("ssh", "secrets"):
            (self.dir / name).mkdir(mode=0o700, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"fleet {self.prefix}", "-f", self.identity)
        shutil.copy(f"{self.identity}.pub", self.dir / "ssh/authorized_keys")
        lines = []
        for host in self.hosts.values():
            host.dir.mkdir(parents=True, exist_ok=True)
            key = host.dir / "ssh_host_ed25519_key"
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", key)
            lines.append(f"{host.address} {' '.join(pathlib.Path(f'{key}.pub').read_text().split()[:2])}\n")
        self.known_hosts.write_text("".join(lines))
        for user in ("postgres", "vimc", "barman", "streaming_barman"):
            path = self.dir / "secrets" / user
            path.write_text(secrets.token_hex(12) + "\n")
            path.chmod(0o600)

    def _make_small_disk(self, host):
        host.disk.parent.mkdir(parents=True, exist_ok=True)
        with open(host.disk, "wb") as disk:
            disk.truncate(self.uat_disk_mib << 20)
        run("mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-I", "256", host.disk)  # blocks and inodes as a large disk has them

    def password(self, user):
        return (self.dir / "secrets" / user).read_text().strip()

    def description(self):
        return {
            "prefix": self.prefix, "dir": str(self.dir), "subnet": str(self.subnet), "gateway": self.gateway, "uatDiskMiB": self.uat_disk_mib,
            "ssh": {"user": "root", "identity": str(self.identity), "knownHosts": str(self.known_hosts)},
            "images": {"barman": BARMAN_IMAGE, "postgres": POSTGRES_IMAGE},
            "database": {"container": DATABASE, "volume": VOLUME, "port": 5432,
                         "passwords": {user.name: str(user) for user in sorted((self.dir / "secrets").iterdir())}},
            "writerLog": str(self.writer.log),
            "hosts": {host.name: {"address": host.address, "socket": str(host.socket), "endpoint": host.endpoint, "netns": host.netns,
                                  "dataRoot": str(host.data_root), "dataPorts": DATA_PORTS} for host in self.hosts.values()},
        }

    def _describe(self):
        (self.dir / "fleet.json").write_text(json.dumps(self.description(), indent=2) + "\n")

    # -- what runs on it

    def start_production(self):
        """The database on production2, configured as production, port 5432. Returns when it answers."""
        self._start_database(self.production2, "/etc/montagu/postgresql.production.conf")
        self.production2.psql("INSERT INTO site(name) SELECT 'production' WHERE NOT EXISTS (SELECT FROM site)", user="vimc")

    def fill_production(self, mib):
        """Gives production's database so much more to move, once; it does not compress."""
        self.production2.psql("CREATE TABLE IF NOT EXISTS filler(text text STORAGE EXTERNAL); TRUNCATE filler; COPY filler FROM PROGRAM "
                              f"'head -c {mib * 786432} /dev/urandom | base64 -w 4000'")

    def start_uat_app(self, old_rows=100):
        """On uat: an old database (ids below zero) and a second container of the same compose project that mounts nothing."""
        self._start_database(self.uat, "/etc/montagu/postgresql.test.conf")
        self.uat.psql(f"INSERT INTO site(name) SELECT 'uat, old' WHERE NOT EXISTS (SELECT FROM site); INSERT INTO api_access_log(id, "
                      f"timestamp, payload) SELECT -n, now() - interval '90 days', 'old' FROM generate_series(1, {old_rows}) n "
                      "ON CONFLICT DO NOTHING", user="vimc")
        if self._start_again(self.uat, "montagu-web"):
            return
        self.uat.docker("run", "-d", "--name", "montagu-web", *compose_labels("web"), "--restart", "unless-stopped", "--init",
                        "--user", "999:999", "--tmpfs", "/pgdata", "--entrypoint", "sleep", POSTGRES_IMAGE, "infinity")

    def _start_database(self, host, config):
        if not self._start_again(host, DATABASE):
            passwords = {"POSTGRES": "postgres", "MONTAGU": "vimc", "BARMAN": "barman", "STREAMING_BARMAN": "streaming_barman"}
            settings = [part for name, user in passwords.items() for part in ("-e", f"{name}_PASSWORD={self.password(user)}")]
            host.docker("run", "-d", "--name", DATABASE, *compose_labels("db"), "--restart", "unless-stopped", "--stop-timeout", "60",
                        "-p", "5432:5432", "-v", f"{VOLUME}:/pgdata", *settings, POSTGRES_IMAGE,
                        "postgres", "-c", f"config_file={config}", "-D", "/pgdata")
        # by TCP: the server of the first start answers on its socket only
        wait_for(f"database on {host.name}", lambda: host.docker(
            "exec", DATABASE, "pg_isready", "-q", "-h", "127.0.0.1", check=False).returncode == 0, 60, every=0.2)

    @staticmethod
    def _start_again(host, container):
        return host.docker("start", container, check=False).returncode == 0

    @contextlib.contextmanager
    def slow_line_to(self, host, mbit):
        """Until the end of the block the host receives no faster than this."""
        shape = ("tc", "-n", self.lan, "qdisc")
        run(*shape, "replace", "dev", host.name, "root", "tbf", "rate", f"{mbit}mbit", "burst", str(LINE_BURST),
            "latency", f"{LINE_LATENCY}s")
        try:
            yield
        finally:
            run(*shape, "del", "dev", host.name, "root", check=False)

    @staticmethod
    def waiting_in_line(mbit):
        """Bytes that a slow line holds at most: they arrive although who was to get them has died."""
        return int(mbit * 1e6 / 8 * LINE_LATENCY) + LINE_BURST

    def received_by(self, host):
        """Bytes that the network has brought to the host."""
        said = json.loads(run("ip", "-n", self.lan, "-s", "-j", "link", "show", "dev", host.name).stdout)
        return said[0]["stats64"]["tx"]["bytes"]

    def start_writer(self, rate=20.0, payload_bytes=200):
        return self.writer.start(rate, payload_bytes)


def directory_file(prefix):
    return pathlib.Path(f"/run/roadstead-{prefix}/dir")


def borrowed_file(prefix):
    """Is there if the fleet ends with the process that claimed its prefix."""
    return pathlib.Path(f"/run/roadstead-{prefix}/borrowed")


def companions_file(prefix):
    return pathlib.Path(f"/run/roadstead-{prefix}/companions")


def directory_of(prefix):
    """The directory of the fleet that has this prefix now, None if none has."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path(directory_file(prefix).read_text())
    return None


CLAIMED = {}  # prefix -> its locked file, until this process ends


def claim_prefix(name):
    """A prefix for a fleet that is to end with this process: `name`, or with a number behind it while another has that.

    What a process that was killed has left under it is taken down; a fleet that somebody made to last is not touched."""
    for prefix in (name, *(f"{name}{number}" for number in range(2, 10))):
        lock = open(f"/run/roadstead-{prefix}.lock", "w", encoding="utf-8")
        if locked(lock) and not lasts(prefix) and not subnet_taken(prefix):
            CLAIMED[prefix] = lock
            if left := directory_of(prefix):
                Fleet(left, prefix).down(say=lambda _: None)
            return prefix
        lock.close()
    raise FleetError(f"prefix {name}: nine fleets have it and its numbers; `fleet.py down --dir D` those nobody needs (D: /run/roadstead-*/dir)")


def locked(file):
    """Whether this process could lock it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lasts(prefix):
    """Whether there is a fleet of this prefix that does not end with a process."""
    return directory_of(prefix) is not None and not borrowed_file(prefix).exists()


def default_subnet(prefix):
    return ipaddress.ip_network(f"10.87.{0 if prefix == 'rs0' else zlib.crc32(prefix.encode()) % 250 + 1}.0/24")


def subnet_taken(prefix):
    """Whether the fleet of another prefix has the addresses that this one would get."""
    subnet = default_subnet(prefix)
    gateway = f"{subnet[1]}/{subnet.prefixlen}"
    return any(line.split()[1].split("@")[0] != f"{prefix}-root" for line in run("ip", "-o", "-4", "address").stdout.splitlines()
               if gateway in line.split())


def started_at(pid):
    """When this process started, in ticks since the machine's start; None if there is none or only its exit code is left."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return None if fields[0] in "ZX" else int(fields[19])
    return None


def compose_labels(service, project="montagu"):
    labels = {"project": project, "service": service, "container-number": "1", "oneoff": "False"}
    return [part for key, value in labels.items() for part in ("--label", f"com.docker.compose.{key}={value}")]


def in_parallel(function, items):
    """Calls function(item) for all items at once; the first error is raised after all have ended."""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(len(items)) as pool:
        for future in [pool.submit(function, item) for item in items]:
            future.result()


# ---------------------------------------------------------------------------------------------------------------- writer


class Writer:
    """A process that inserts rows into production2 and records what it was told is committed.

    The log has one JSON object a line, flushed before the next insert:
      {"id": 7, "sent": T, "acked": T}    the row is committed; T in seconds since the epoch, this machine's clock
      {"id": 8, "sent": T, "lost": T}     the connection broke first; the row may or may not be there. The id is not used again
    """

    def __init__(self, fleet):
        self.fleet = fleet
        self.log, self.pid_file = fleet.dir / WRITER_LOG, fleet.dir / "writer.pid"

    def start(self, rate=20.0, payload_bytes=200):
        """`rate` rows a second, each committed by itself, until stop(). Returns when the first row is acknowledged."""
        self.stop()
        before = len(self.rows())
        with open(self.fleet.dir / "writer.err", "ab") as errors:
            process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "_write", "--dir", self.fleet.dir, "--rate", str(rate),
                 "--payload-bytes", str(payload_bytes)],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True)
        self.pid_file.write_text(str(process.pid))
        wait_for(f"first row of the writer (errors: {self.fleet.dir}/writer.err)",
                 lambda: len(self.rows()) > before or process.poll() is not None)
        if process.poll() is not None:
            raise FleetError(f"the writer ended; see {self.fleet.dir}/writer.err")
        return self

    def stop(self):
        """Ends it after the row under way; afterwards the log is complete."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):  # ours, or an earlier program's
                os.waitpid(pid, 0)
            wait_for("end of the writer", lambda: self.pid() is None, 20)
        self.pid_file.unlink(missing_ok=True)

    def pid(self):
        """Its process, None if it does not run."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.pid_file.read_text())
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"_write" in arguments and str(self.fleet.dir).encode() in arguments:
                return pid
        return None

    def rows(self):
        """All finished entries of the log, oldest first."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def acknowledged(self, before=None):
        """Ids that are certainly committed (at the time `before`, if given, seconds since the epoch)."""
        return [row["id"] for row in self.rows() if "acked" in row and (before is None or row["acked"] <= before)]


class PsqlSession:
    """One psql on production2's published port; a new one is needed after LostConnection."""

    class LostConnection(Exception):
        pass

    def __init__(self, fleet):
        environment = {**os.environ, "PGPASSWORD": fleet.password("vimc"), "PGCONNECT_TIMEOUT": "3"}
        self.process = subprocess.Popen(
            # a connection that is dead, but was not told so, breaks within ten seconds
            ["psql", "-XAtqn", "-v", "ON_ERROR_STOP=1", "-d", f"host={fleet.production2.address} user=vimc dbname=montagu "
             "tcp_user_timeout=10000 keepalives_idle=4 keepalives_interval=2 keepalives_count=3"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True, bufsize=1)

    def ask(self, sql):
        """Sends one statement that answers with one line; the line comes after the commit."""
        try:
            self.process.stdin.write(sql + ";\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError as error:
            raise self.LostConnection from error
        if not answer:
            raise self.LostConnection
        return answer.strip()

    def close(self):
        self.process.kill()
        self.process.communicate()


def write_rows(fleet, rate, payload_bytes):
    """The writer's own process."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    session, last = None, max((row["id"] for row in fleet.writer.rows()), default=0)
    due = time.monotonic()
    with open(fleet.writer.log, "a", encoding="utf-8", buffering=1) as log:
        while not stopping:
            if session is None:
                try:
                    session = PsqlSession(fleet)
                    last = max(last, int(session.ask("SELECT coalesce(max(id), 0) FROM api_access_log")))
                except (PsqlSession.LostConnection, ValueError):
                    session.close()
                    session = None
                    time.sleep(0.5)
                    continue
            last += 1
            row = {"id": last, "sent": time.time()}
            try:
                payload = secrets.token_hex(payload_bytes // 2)
                session.ask(f"INSERT INTO api_access_log(id, payload) VALUES ({last}, '{payload}') RETURNING id")
                row["acked"] = time.time()
            except PsqlSession.LostConnection:
                row["lost"] = time.time()
                session.close()
                session = None
            log.write(json.dumps(row) + "\n")
            due = max(due + 1.0 / rate, time.monotonic() - 1.0)  # after a pause no more than a second is made up for
            time.sleep(max(0.0, due - time.monotonic()))
    if session:
        session.close()


# ---------------------------------------------------------------------------------------------------------- command line


def print_status(fleet):
    for host in fleet.hosts.values():
        if host.first_process() is None:
            print(f"{host.name:12} {host.address:12} off")
            continue
        engine = "engine up" if engine_answers(host.socket) else "engine down"
        ssh = "sshd up" if port_answers(host.address, 22) else "sshd down"
        containers = host.docker("ps", "--format", "{{.Names}}", check=False, timeout=10).stdout.split()
        print(f"{host.name:12} {host.address:12} {engine}, {ssh}, runs: {', '.join(containers) or 'nothing'}")
    acknowledged = fleet.writer.acknowledged()
    print(f"writer {'runs' if fleet.writer.pid() else 'is off'}, {len(acknowledged)} rows acknowledged")


def print_environment(fleet):
    print(f"export ROADSTEAD_FLEET={fleet.dir} FLEET_IDENTITY={fleet.identity} FLEET_KNOWN_HOSTS={fleet.known_hosts}")
    for host in fleet.hosts.values():
        name = host.name.upper()
        print(f"export FLEET_{name}_ADDRESS={host.address} FLEET_{name}_SOCKET={host.socket} FLEET_{name}_ENDPOINT={host.endpoint}")


def parse_arguments():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", default=os.environ.get("ROADSTEAD_FLEET", "/tmp/roadstead-fleet"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in ("images", "status", "env", "production", "uat-app"):
        verbs.add_parser(verb, parents=[common])
    for verb in ("up", "down"):
        made = verbs.add_parser(verb, parents=[common])
        made.add_argument("--prefix", default=None)
        made.add_argument("--subnet", default=None)
        made.add_argument("--uat-disk-mib", type=int, default=0)
    writer = verbs.add_parser("writer", parents=[common])
    writer.add_argument("what", choices=["start", "stop", "status"])
    for made in (writer, verbs.add_parser("_write", parents=[common])):
        made.add_argument("--rate", type=float, default=20.0)
        made.add_argument("--payload-bytes", type=int, default=200)
    for verb in ("power-off", "power-on", "engine-stop", "engine-start", "unplug", "plug"):
        verbs.add_parser(verb, parents=[common]).add_argument("host", choices=HOSTS)
    for verb in ("docker", "psql"):
        made = verbs.add_parser(verb, parents=[common])
        made.add_argument("host", choices=HOSTS)
        made.add_argument("rest", nargs=argparse.REMAINDER)
    return parser.parse_args()


def fleet_for(arguments):
    """From `fleet.json` where there is one; what is said on the command line wins."""
    if arguments.verb not in ("up", "down"):
        return Fleet.load(arguments.dir)
    with contextlib.suppress(FleetError, ValueError, KeyError):
        known = Fleet.load(arguments.dir)
        if arguments.prefix in (None, known.prefix):
            if arguments.verb == "down":
                return known
            return Fleet(arguments.dir, known.prefix, arguments.subnet or str(known.subnet), arguments.uat_disk_mib)
    return Fleet(arguments.dir, arguments.prefix or "rs0", arguments.subnet, arguments.uat_disk_mib)


def main():
    arguments = parse_arguments()
    if arguments.verb == "images":
        return ensure_images()
    fleet = fleet_for(arguments)
    if arguments.verb in ("docker", "psql"):
        host = fleet.hosts[arguments.host]
        if arguments.verb == "docker":
            os.execvp("docker", ["docker", "-H", f"unix://{host.socket}", *arguments.rest])
        print(host.psql(" ".join(arguments.rest)))
        return None
    if arguments.verb == "writer":
        if arguments.what == "start":
            fleet.writer.start(arguments.rate, arguments.payload_bytes)
        elif arguments.what == "stop":
            fleet.writer.stop()
        return print_status(fleet)
    if arguments.verb == "_write":
        return write_rows(fleet, arguments.rate, arguments.payload_bytes)
    host = fleet.hosts.get(getattr(arguments, "host", None))
    return {
        "up": fleet.up, "down": fleet.down, "status": lambda: print_status(fleet), "env": lambda: print_environment(fleet),
        "production": fleet.start_production, "uat-app": fleet.start_uat_app,
        "power-off": lambda: host.power_off(), "power-on": lambda: host.power_on(),
        "engine-stop": lambda: host.stop_engine(), "engine-start": lambda: host.start_engine(),
        "unplug": lambda: host.unplug(), "plug": lambda: host.plug(),
    }[arguments.verb]()


if __name__ == "__main__":
    try:
        main()
    except FleetError as error:
        sys.exit(f"fleet: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
