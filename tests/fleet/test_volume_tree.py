"""The comparison that the other tests believe: a true copy is found equal, and each single change is found."""

import os
import subprocess

import pytest
import volume_tree
from fleet import wait_for
from volume_tree import DEEP, MIB


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    top = tmp_path_factory.mktemp("everything")
    assert volume_tree.everything(top, small=50, sparse_size=64 * MIB) == [b"specials/socket"]
    return os.fsencode(top)


@pytest.fixture
def copy(original, tmp_path):
    """cp's: all but the socket, and what lies deeper than it can reach."""
    top = os.fsencode(tmp_path / "copy")
    subprocess.run(["cp", "-a", original, top], stderr=subprocess.DEVNULL, check=False)
    os.unlink(os.path.join(top, b"specials/socket"))
    os.utime(os.path.join(top, b"specials"), ns=(0, os.stat(os.path.join(original, b"specials")).st_mtime_ns))
    return top


def found(original, copy):
    return volume_tree.compare(original, copy).beyond([b"specials/socket"], [os.fsdecode(DEEP)])


def test_a_true_copy_is_equal_but_for_the_socket_that_it_lacks(original, copy):
    assert found(original, copy) == []
    assert volume_tree.by_rsync(original, copy) == ["cS+++++++++ specials/socket"]


def rewritten(path):
    """Other bytes, the same size and time."""
    seen = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(seen.st_size // 2)
        byte = file.read(1)
        file.seek(seen.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def unlinked(path):
    """A file of its own in place of one more name."""
    subprocess.run([b"cp", b"-a", path, path + b".own"], check=True)
    os.rename(path + b".own", path)


def filled(path):
    """Zeros on the disk in place of a hole."""
    seen = os.stat(path)
    with open(path, "r+b") as file:
        file.write(bytes(seen.st_size))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


CHANGES = {
    "a byte": (b"small/0000/file-000007.rds", rewritten),
    "a byte of an island": (b"large", rewritten),
    "a hole": (b"empty/only-a-hole", filled),
    "a nanosecond": (b"times/at-5", lambda path: os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1))),
    "a link's time": (b"times/at-5-link", lambda path: os.utime(path, ns=(0, 1), follow_symlinks=False)),
    "an owner": (b"modes/file-0400", lambda path: os.chown(path, 65533, -1)),
    "a mode": (b"modes/folder-2755", lambda path: os.chmod(path, 0o755)),
    "a capability": (b"attributes/file-5", lambda path: os.removexattr(path, b"security.capability")),
    "an ACL": (b"attributes/file-6", lambda path: os.setxattr(path, b"system.posix_acl_access", volume_tree.acl_for(1009))),
    "a default ACL": (b"attributes/many", lambda path: os.removexattr(path, b"system.posix_acl_default")),
    "an attribute": (b"attributes/file-2", lambda path: os.setxattr(path, b"user.binary", b"other")),
    "a group of links": (b"links/other/group-04-2", unlinked),
    "a group of FIFOs": (b"specials/linked/fifo", unlinked),
    "a device": (b"specials/block", lambda path: (os.unlink(path), os.mknod(path, 0o60640, os.makedev(7, 201)), os.chown(path, 7, 8))),
    "the root's owner": (b".", lambda path: os.chown(path, 4322, -1)),
    "the root's time": (b".", lambda path: os.utime(path, ns=(1, 0))),
    "one file more": (b"names/one more", lambda path: open(path, "wb").close()),
    "one file less": (b"names/...", os.unlink),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_single_change_is_found(original, copy, what):
    path, change = CHANGES[what]
    change(os.path.join(copy, path))
    assert found(original, copy), f"{what} of {path} was not found"


def test_a_copy_of_a_growing_file_is_one_of_its_states(tmp_path):
    """The checks of live copies accept what was there at some moment, and nothing else."""
    appender, replacer = volume_tree.Appender(tmp_path / "log"), volume_tree.Replacer(tmp_path / "state")
    wait_for("some states", lambda: len(appender.acknowledged) >= 20 and len(replacer.acknowledged) >= 5)
    began = appender.acknowledged[10][0] + 1e-6
    copies = {name: (tmp_path / name).read_bytes() for name in ("log", "state")}
    appender.finish()
    replacer.finish()
    for name, content, good in (("log", copies["log"], True), ("log", copies["log"][:900], False), ("log", copies["log"] + b"x", False),
                                ("state", copies["state"], True), ("state", copies["state"][:-1] + b"x", False),
                                ("state", volume_tree.Replacer.version(10 ** 6), False)):
        (tmp_path / "copy").write_bytes(content)
        writer = appender if name == "log" else replacer
        assert (writer.problems_of(tmp_path / "copy", began) is None) == good
