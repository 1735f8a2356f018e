"""Trees for tests of volumes: one with everything that a tree can hold, writers beside it, and two ways to compare.

    volume_tree.py make TOP [--small-files N] [--sparse-gib N]
    volume_tree.py compare ONE OTHER        prints what differs; fails if it is more than sockets
"""

import argparse
import dataclasses
import hashlib
import itertools
import os
import pathlib
import random
import re
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FILES_PER_DIRECTORY = 1000
DEEP = b"beyond-path-max"
# Written by the bytes: the programs that set them are not on every machine.
CAPABILITY_NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER, NO_ID = 1, 2, 4, 16, 32, 0xFFFFFFFF


# -------------------------------------------------------------------------------------------------------- plain content


def small_files(top, count, least=KIB, most=32 * KIB, seed=1):
    """So many files of random sizes that do not compress; returns their bytes."""
    chance = random.Random(seed)
    pool = chance.randbytes(16 * MIB)
    total = 0
    for first in range(0, count, FILES_PER_DIRECTORY):
        directory = os.path.join(top, f"{first // FILES_PER_DIRECTORY:04d}")
        os.makedirs(directory, exist_ok=True)
        for number in range(first, min(count, first + FILES_PER_DIRECTORY)):
            size = chance.randint(least, most)
            begin = chance.randrange(len(pool) - size)
            write_file(os.path.join(directory, f"file-{number:06d}.rds"), pool[begin:begin + size])
            total += size
    return total


def large_file(path, size, content=os.urandom):
    """A file of this size, written in pieces of content(length)."""
    with open(path, "wb", buffering=0) as file:
        for begin in range(0, size, 4 * MIB):
            file.write(content(min(4 * MIB, size - begin)))


def log_like(length):
    """Content as of a log: records of 32 bytes, 24 of them the same again and again; compresses about five times."""
    records = length // 32 + 1
    text = bytearray(b"GET /packets/........ 200 0x7f2\n" * records)
    digits = bytes(b"0123456789abcdef"[value & 15] for value in range(256))
    for place in range(13, 21):
        text[place::32] = os.urandom(records).translate(digits)
    return bytes(text[:length])


def new_bytes(top, known, page=8 * KIB):
    """Of the tree, what lies in pages that are not among `known`; adds them."""
    total = 0
    for folder, _, names in os.walk(top):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                while content := file.read(page):
                    digest = hashlib.sha256(content).digest()
                    total += 0 if digest in known else len(content)
                    known.add(digest)
    return total


def change_pages(top, part, page=8 * KIB, seed=None):
    """Overwrites this part of all pages of all files with something new; returns the bytes changed."""
    chance = random.Random(seed)
    changed = 0
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            pages = os.path.getsize(path) // page
            with open(path, "r+b", buffering=0) as file:
                for number in chance.sample(range(pages), round(pages * part)):
                    os.pwrite(file.fileno(), os.urandom(page), number * page)
                    changed += page
    return changed


def write_file(path, content, **options):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, **options)
    try:
        while content:
            content = content[os.write(file, content):]
    finally:
        os.close(file)


# -------------------------------------------------------------------------------------------------- a tree of everything


def acl(entries):
    """The value of a system.posix_acl_* attribute: (tag, permissions, id) in their order."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def acl_for(user):
    return acl([(ACL_USER_OBJ, 7, NO_ID), (ACL_USER, 5, user), (ACL_GROUP_OBJ, 5, NO_ID), (ACL_MASK, 5, NO_ID), (ACL_OTHER, 0, NO_ID)])


def everything(top, small=2000, sparse_size=20 * GIB, large_size=9 * MIB + 1234):
    """Fills the empty directory `top`; needs root. Returns the paths of its sockets, relative and sorted, as bytes."""
    top = os.fsencode(top)

    def at(*parts):
        return os.path.join(top, *parts)

    small_files(os.fsdecode(at(b"small")), small)
    make_sparse(at(b"sparse"), sparse_size)
    large_file(at(b"large"), large_size)
    make_names(at(b"names"))
    make_links(at(b"links"))
    make_attributes(at(b"attributes"))
    make_modes(at(b"modes"))
    sockets = make_specials(at(b"specials"))
    link_specials(at(b"specials/linked"))
    make_empty(at(b"empty"))
    make_deep(top)
    make_times(at(b"times"))
    os.chown(top, 4321, 8765)
    os.chmod(top, 0o2751)
    os.setxattr(top, b"user.of-the-root", b"\0binary\xff")
    os.setxattr(top, b"system.posix_acl_default", acl_for(4242))
    os.utime(top, ns=(1, -1_000_000_001))
    return [b"specials/" + name for name in sockets]


def make_sparse(path, size):
    """Islands: at the beginning, across a multiple of 1 MiB, of zeros that are written, of one byte, before the end."""
    with open(path, "wb", buffering=0) as file:
        file.truncate(size)
        for offset, content in ((0, os.urandom(5000)), (size // 3 // MIB * MIB - 100, os.urandom(200)), (size // 2, bytes(2 * MIB)),
                                (size // 2 + 3 * MIB + 17, b"x"), (size - 70000, os.urandom(4096))):
            os.pwrite(file.fileno(), content, offset)


def make_names(folder):
    os.mkdir(folder)
    names = [b"n" * 255, b"\xff\xfe not utf-8 \x80", b"new\nline", b"tab\tand\rreturn", b" space ", b"-rf", b"back\\slash", b"*?[a]", b"...",
             "Größe-日本".encode(), "Gro\u0308ße".encode(), b"\x01\x7f", b"quote'\"", b".roadstead", b"%s%n"]
    for name in names:
        write_file(os.path.join(folder, name), name * 3)
        os.mkdir(os.path.join(folder, b"d" + name[:254]))
        write_file(os.path.join(folder, b"d" + name[:254], name), b"inside " + name)


def make_links(folder):
    """Groups of hard links within a directory and across; symbolic links of all kinds."""
    other = os.path.join(folder, b"other")
    os.makedirs(other)
    for group in range(20):
        first = os.path.join(folder, b"group-%02d" % group)
        write_file(first, os.urandom(100 + group * 7000))
        for number in range(1 + group % 5):
            os.link(first, os.path.join(other, b"group-%02d-%d" % (group, number)))
    targets = {b"dangling": b"/nowhere/at/all", b"to-file": b"group-00", b"to-folder": b"other", b"up": b"../../../../../etc/passwd",
               b"long": b"l/" * 2047, b"bytes": b"\xfe\xff\n", b"self": b"self"}
    for name, target in targets.items():
        os.symlink(target, os.path.join(folder, name))


def make_attributes(folder):
    os.mkdir(folder)
    for number, (name, value) in enumerate({b"user.plain": b"value", b"user.empty": b"", b"user.binary": bytes(range(256)), b"user.long": b"v" * 2000,
                                            b"user.\xff\xfe": b"name of bytes", b"security.capability": CAPABILITY_NET_RAW,
                                            b"system.posix_acl_access": acl_for(1001)}.items()):
        path = os.path.join(folder, b"file-%d" % number)
        write_file(path, b"has an attribute")
        os.chown(path, 1000 + number, 2000 + number)
        os.setxattr(path, name, value)
    many = os.path.join(folder, b"many")
    os.mkdir(many)
    for number in range(30):
        os.setxattr(many, b"user.number-%d" % number, b"%d" % number)
    for name, value in ((b"system.posix_acl_default", acl_for(1002)), (b"system.posix_acl_access", acl_for(1003))):
        os.setxattr(many, name, value)
    write_file(os.path.join(many, b"inherits"), b"")  # its ACL comes from the directory's default


def make_modes(folder):
    os.mkdir(folder)
    for mode in (0o0000, 0o0400, 0o0777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777):
        file, directory = os.path.join(folder, b"file-%04o" % mode), os.path.join(folder, b"folder-%04o" % mode)
        write_file(file, b"#!/bin/true\n")
        os.mkdir(directory)
        write_file(os.path.join(directory, b"inside"), b"inside")
        for path in (file, directory):
            os.chown(path, 65534, 100000)
            os.chmod(path, mode)  # last: a change of the owner takes setuid away


def make_specials(folder):
    os.mkdir(folder)
    os.mknod(os.path.join(folder, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(os.path.join(folder, b"large-minor"), stat.S_IFCHR | 0o600, os.makedev(511, 70000))
    os.mknod(os.path.join(folder, b"block"), stat.S_IFBLK | 0o640, os.makedev(7, 200))
    os.mkfifo(os.path.join(folder, b"fifo"), 0o622)
    os.chown(os.path.join(folder, b"block"), 7, 8)
    here = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"/proc/self/fd/{here}/socket")  # the path itself may be longer than a socket's may be
    finally:
        os.close(here)
    return [b"socket"]


def link_specials(folder):
    """A symbolic link, a FIFO and a device, each with two names."""
    os.mkdir(folder)
    link, fifo, device = names = [os.path.join(folder, name) for name in (b"link", b"fifo", b"device")]
    os.symlink(b"anywhere", link)
    os.mkfifo(fifo)
    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for name in names:
        os.link(name, name + b"-too", follow_symlinks=False)


def make_empty(folder):
    os.makedirs(os.path.join(folder, b"a/b/c"))
    write_file(os.path.join(folder, b"file"), b"")
    with open(os.path.join(folder, b"only-a-hole"), "wb") as file:
        file.truncate(3 * MIB + 5)


def make_deep(top):
    """30 directories of 200 bytes below each other: no path leads there, only descriptors."""
    here = os.open(top, os.O_RDONLY)
    for name in (DEEP, *(b"%03d-" % level + b"d" * 196 for level in range(30))):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    write_file(b"at-the-bottom", b"deep" * 5000, dir_fd=here)
    os.symlink(b"at-the-bottom", b"link", dir_fd=here)
    os.close(here)


def make_times(folder):
    os.mkdir(folder)
    for number, when in enumerate((0, 1, -1, -999_999_999, -1_000_000_000, -315_619_200_123_456_789, 1_700_000_000_987_654_321, 4_102_444_800_000_000_001)):
        path = os.path.join(folder, b"at-%d" % number)
        write_file(path, b"time")
        os.symlink(b"at", path + b"-link")
        os.mkdir(path + b"-folder")
        for one in (path, path + b"-link", path + b"-folder"):
            os.utime(one, ns=(when, when), follow_symlinks=False)
    os.utime(folder, ns=(5, -5))


# --------------------------------------------------------------------------------------------------------------- writers


class Writer(threading.Thread):
    """Does one thing to a file again and again until finish(). `acknowledged` holds (seconds since the epoch, what)."""

    def __init__(self, path, pause=0.002):
        super().__init__(daemon=True)
        self.path, self.pause = os.fsencode(path), pause
        self.acknowledged, self.ended = [], threading.Event()
        self.start()

    def run(self):
        for number in itertools.count():
            what = self.write(number)
            self.acknowledged.append((time.time(), what))
            if self.ended.wait(self.pause):
                return

    def finish(self):
        self.ended.set()
        self.join()
        return self

    def last_before(self, moment):
        """What was acknowledged last before this moment; 0 if nothing."""
        return max((what for when, what in self.acknowledged if when < moment), default=0)


def sequence(begin, end):
    """The bytes of the endless text "00000000\\n00000001\\n..." in these offsets."""
    first = begin // 9
    text = b"".join(b"%08d\n" % number for number in range(first, (end + 8) // 9))
    return text[begin - first * 9:end - first * 9]


class Appender(Writer):
    """A file that only grows; acknowledged are its lengths."""

    def write(self, number):
        length = os.path.getsize(self.path) if os.path.exists(self.path) else 0
        step = 1000 + number * 37 % 5000
        with open(self.path, "ab", buffering=0) as file:
            file.write(sequence(length, length + step))
        return length + step

    def problems_of(self, copy, began):
        """Why the copy, whose making began then, is none of the file's states since."""
        content = pathlib.Path(os.fsdecode(copy)).read_bytes()
        if content != sequence(0, len(content)):
            return f"{copy}: what was appended differs"
        if not self.last_before(began) <= len(content) <= self.acknowledged[-1][1]:
            return f"{copy}: {len(content)} bytes; {self.last_before(began)} were acknowledged before it began"
        return None


class Replacer(Writer):
    """A file that is replaced by rename; acknowledged are its versions. Each is 300 KiB of its number."""

    def write(self, number):
        part = self.path + b".part"
        with open(part, "wb") as file:
            file.write(self.version(number + 1))
        os.rename(part, self.path)
        return number + 1

    @staticmethod
    def version(number):
        return b"%012d\n" % number * (300 * KIB // 13)

    def problems_of(self, copy, began):
        content = pathlib.Path(os.fsdecode(copy)).read_bytes()
        number = int(content[:12] or b"0")
        if content != self.version(number):
            return f"{copy}: parts of several versions"
        if not self.last_before(began) <= number <= self.acknowledged[-1][1]:
            return f"{copy}: version {number}; {self.last_before(began)} was acknowledged before it began"
        return None


# ------------------------------------------------------------------------------------------------------------ comparison


@dataclasses.dataclass
class Comparison:
    """What differs: as rsync sees it, and as our own walk does."""
    rsync: list
    walk: list

    def beyond(self, expected=(), prefix=()):
        """Differences at other paths than the expected ones (bytes), and not below `prefix`."""
        allowed = {os.fsdecode(path) for path in expected}
        unseen = [line for line in self.rsync if line.split(" ", 1)[1].rstrip("/") not in allowed]
        return [line for line in unseen + [one for one in self.walk if one.split(": ")[0] not in allowed]
                if not any(line.split(" ", 1)[-1].startswith(begin) or line.startswith(begin) for begin in prefix)]


def compare(one, other, enter=()):
    """Both trees at rest; `enter` is the command that leads to where they are (see Host.enter)."""
    return Comparison(by_rsync(one, other, enter), by_walk(one, other))


def by_rsync(one, other, enter=()):
    """rsync's lines, names as the file system's bytes. It cannot go deeper than a path is long: the walk does."""
    one, other = (re.sub(r"^/proc/\d+/root(?=/)", "", os.fsdecode(path)) for path in (one, other))  # whither it does not follow
    done = subprocess.run([*enter, "rsync", "-aHAXn", "--checksum", "--itemize-changes", "--delete", "--8-bit-output", "--modify-window=-1",
                           f"--exclude=/{os.fsdecode(DEEP)}", f"{os.fsdecode(one)}/", f"{os.fsdecode(other)}/"], capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"rsync: exit {done.returncode}: {done.stderr.decode(errors='replace')[-800:]}")
    return [os.fsdecode(line) for line in done.stdout.splitlines() if line]


def by_walk(one, other):
    """Everything that rsync does not look at too: holes, the root, groups of links, what lies deep. Lines "path: what"."""
    walk = Walk()
    first, second = (os.open(top, os.O_RDONLY | os.O_DIRECTORY) for top in (one, other))
    try:
        walk.entry("", os.fstat(first), os.fstat(second), f"/proc/self/fd/{first}/.", f"/proc/self/fd/{second}/.")
        walk.directory("", first, second)
    finally:
        os.close(first)
        os.close(second)
    walk.compare_groups()
    return walk.found


class Walk:
    def __init__(self):
        self.found = []
        self.groups = ({}, {})  # inode -> its names, on either side
        self.seen = set()       # inodes whose content was compared

    def say(self, path, what):
        self.found.append(f"{path or '.'}: {what}")

    def directory(self, path, one, other):
        names, others = set(os.listdir(one)), set(os.listdir(other))
        for name in sorted(names ^ others):
            self.say(os.path.join(path, name), "only in " + ("the first" if name in names else "the other"))
        for name in sorted(names & others):
            where = os.path.join(path, name)
            stats = [os.stat(name, dir_fd=side, follow_symlinks=False) for side in (one, other)]
            if stat.S_IFMT(stats[0].st_mode) != stat.S_IFMT(stats[1].st_mode):
                self.say(where, "other type")
                continue
            self.entry(where, *stats, f"/proc/self/fd/{one}/{name}", f"/proc/self/fd/{other}/{name}")
            if stat.S_ISDIR(stats[0].st_mode):
                below = [os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=side) for side in (one, other)]
                try:
                    self.directory(where, *below)
                finally:
                    for side in below:
                        os.close(side)

    def entry(self, path, one, other, first, second):
        for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_rdev"):
            if getattr(one, field) != getattr(other, field):
                self.say(path, f"{field} {getattr(one, field)} {getattr(other, field)}")
        if attributes_of(first) != attributes_of(second):
            self.say(path, f"attributes {attributes_of(first)} {attributes_of(second)}")
        if stat.S_ISDIR(one.st_mode):
            return
        for groups, side in zip(self.groups, (one, other)):
            if side.st_nlink > 1:
                groups.setdefault(side.st_ino, set()).add(path)
        if stat.S_ISLNK(one.st_mode) and os.readlink(first) != os.readlink(second):
            self.say(path, "other link")
        if stat.S_ISREG(one.st_mode) and (one.st_ino, other.st_ino) not in self.seen:
            self.seen.add((one.st_ino, other.st_ino))
            self.content(path, one, other, first, second)

    def content(self, path, one, other, first, second):
        if one.st_size != other.st_size:
            self.say(path, f"size {one.st_size} {other.st_size}")
        elif digest_of(first, one) != digest_of(second, other):
            self.say(path, "other content")
        # a hole may be new where zeros were written, never the other way round but for what an extent rounds up
        if other.st_blocks * 512 > one.st_blocks * 512 * 1.02 + 64 * KIB:
            self.say(path, f"{one.st_blocks // 2} KiB on the disk {other.st_blocks // 2}")

    def compare_groups(self):
        sides = [{frozenset(names) for names in groups.values()} for groups in self.groups]
        for names in sides[0] ^ sides[1]:
            self.say(min(names), f"hard links only in {'the first' if names in sides[0] else 'the other'}: {sorted(names)}")


def attributes_of(path):
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def digest_of(path, seen):
    """Of what is not zero in a regular file, with its place; holes are not read."""
    digest = hashlib.blake2b()
    file = os.open(path, os.O_RDONLY)
    try:
        for begin, end in data_ranges(file, seen.st_size) if seen.st_blocks * 512 < seen.st_size else ((0, seen.st_size),):
            for offset in range(begin // MIB * MIB, end, MIB):  # pieces that do not depend on where the holes are
                piece = os.pread(file, MIB, offset)
                if piece.count(0) != len(piece):
                    digest.update(struct.pack("<Q", offset) + piece.rstrip(b"\0"))
    finally:
        os.close(file)
    return digest.digest()


def data_ranges(file, size):
    """(begin, end) of each stretch of data, whole MiB, none twice."""
    end = 0
    while end < size:
        try:
            begin = max(end, os.lseek(file, end, os.SEEK_DATA) // MIB * MIB)
        except OSError:  # only a hole is left
            return
        end = min(size, -(-os.lseek(file, max(begin, os.lseek(file, end, os.SEEK_DATA)), os.SEEK_HOLE) // MIB) * MIB)
        yield begin, end


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    make.add_argument("top")
    make.add_argument("--small-files", type=int, default=2000)
    make.add_argument("--sparse-gib", type=int, default=20)
    compared = commands.add_parser("compare")
    compared.add_argument("one")
    compared.add_argument("other")
    arguments = parser.parse_args()
    if arguments.command == "make":
        os.makedirs(arguments.top, exist_ok=True)
        print(f"sockets: {everything(arguments.top, arguments.small_files, arguments.sparse_gib * GIB)}")
        return 0
    found = compare(arguments.one, arguments.other)
    for line in [*found.rsync, *found.walk]:
        print(line)
    return 1 if [line for line in found.walk if not line.endswith("socket: only in the first")] else 0


if __name__ == "__main__":
    sys.exit(main())
