#!/usr/bin/env python3
"""Reads a Roadstead repository without Roadstead (repository-format.md).

  read_repository.py list DIR
  read_repository.py verify DIR [SNAPSHOT]
  read_repository.py restore DIR SNAPSHOT TARGET     TARGET is made; run as root to get owners back
"""

import fcntl, json, os, pathlib, struct, subprocess, sys

try:
    from blake3 import blake3
    def hash_of(data): return blake3(data).digest()
except ImportError:  # slow, and the same: the compression function and the tree of the BLAKE3 paper, section 2
    IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
    ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
    MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
             (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
    CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8

    def compress(chain, words, counter, length, flags):
        v = [*chain, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]
        for _ in range(7):
            for i, (a, b, c, d) in enumerate(MIXES):
                for word, x, y in ((words[2 * i], 16, 12), (words[2 * i + 1], 8, 7)):
                    v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
                    v[d] ^= v[a]; v[d] = (v[d] >> x | v[d] << 32 - x) & 0xFFFFFFFF
                    v[c] = (v[c] + v[d]) & 0xFFFFFFFF
                    v[b] ^= v[c]; v[b] = (v[b] >> y | v[b] << 32 - y) & 0xFFFFFFFF
            words = [words[i] for i in ORDER]
        return [v[i] ^ v[i + 8] for i in range(8)]

    def node(data, first_chunk, root):
        if len(data) > 1024:
            left = 1 << (len(data) - 1).bit_length() - 1  # the largest power of two below, at least a chunk
            words = node(data[:left], first_chunk, 0) + node(data[left:], first_chunk + left // 1024, 0)
            return compress(IV, words, 0, 64, PARENT | root)
        chain, blocks = IV, max(1, -(-len(data) // 64))
        for i in range(blocks):
            block = bytes(data[64 * i:64 * i + 64])
            flags = (CHUNK_START if i == 0 else 0) | (CHUNK_END | root if i == blocks - 1 else 0)
            chain = compress(chain, struct.unpack("<16I", block.ljust(64, b"\0")), first_chunk, len(block), flags)
        return chain

    def hash_of(data): return struct.pack("<8I", *node(memoryview(data), 0, ROOT))

try:
    from compression.zstd import decompress
except ImportError:
    try:
        from zstandard import ZstdDecompressor
        def decompress(data): return ZstdDecompressor().decompress(data, max_output_size=4 << 20)
    except ImportError:
        def decompress(data): return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout

DIRECTORY, FILE, SYMLINK, HARDLINK, CHARACTER, BLOCK, FIFO = range(1, 8)
ZERO = bytes(32)


class Packs:
    """Where every extent is; reads them."""

    def __init__(self, root):
        self.places = {}
        for path in (root / "packs").glob("?" * 16):
            for name, place in self.records(path):
                self.places.setdefault(name, []).append((path, *place))

    @staticmethod
    def records(path):
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 56))
            trailer = file.read(56)
            if len(trailer) == 56 and trailer.endswith(b"RDSTPEND"):
                at, count, patches, wanted = struct.unpack("<QII32s", trailer[:48])
                file.seek(min(at, size))
                footer = file.read(48 * count + 32 * patches)
                if len(footer) == 48 * count + 32 * patches and hash_of(footer) == wanted:
                    return [(name, place) for name, *place in struct.iter_unpack("<32sIIIB3x", footer[:48 * count])]
            found, at = [], 16  # its end is damaged: from the front
            while file.seek(at) + 44 <= size:
                name, length, stored, codec = struct.unpack("<32sIIB3x", file.read(44))
                pieces = -(-length // 8192)
                end = at + 44 + stored + (32 * pieces if codec < 2 and pieces >= 4 else 0)
                if codec > 3 or not 0 < stored <= length <= 4 << 20 or end > size:
                    break
                found.append((name, (at, length, stored, codec)))
                at = end
            return found

    def read(self, name):
        """The bytes, from whichever pack has them right."""
        for path, offset, length, stored, codec in self.places.get(name, []):
            with open(path, "rb") as file:
                file.seek(offset + 44)
                data = file.read(stored)
            try:
                data = self.patched(data, length, codec) if codec > 1 else decompress(data) if codec == 1 else data
            except Exception:
                continue
            if len(data) == length and hash_of(data) == name:
                return data
        raise ValueError(f"extent {name.hex()} is {'damaged' if name in self.places else 'missing'}")

    def patched(self, stored, length, codec):
        data, pieces = bytearray(self.read(stored[32:64])), int.from_bytes(stored[64:80], "little")
        new = stored[80 + 32 * pieces.bit_count():]
        new = decompress(new) if codec == 3 else new
        for at in (at for at in range(0, length, 8192) if pieces >> at // 8192 & 1):
            end = min(at + 8192, length)
            data[at:end], new = new[:end - at], new[end - at:]
        return bytes(data)


class Snapshot:
    def __init__(self, path):
        self.data = path.read_bytes()
        magic, version, self.cut, self.count, text = struct.unpack_from("<8sIIII", self.data)
        if magic != b"RDSTSNAP" or version != 1:
            raise ValueError(f"{path} is no manifest of version 1")
        self.header = json.loads(self.data[24:24 + text])
        self.at = 24 + text + 32
        if hash_of(self.data[:-32]) != self.data[-32:]:
            raise ValueError(f"{path} is damaged")

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text(self, form):
        length = self.take(form)
        self.at += length
        return self.data[self.at - length:self.at]

    def entries(self):
        """Each with its path below the root."""
        paths = []
        for _ in range(self.count):
            entry = {}
            (entry["type"], flags, parent, entry["mode"], entry["uid"], entry["gid"], seconds, nanos, entry["size"],
             _) = self.take("BBIHIIqIQQ")
            entry["time"] = seconds * 10**9 + nanos
            name = self.text("H")
            entry["path"] = os.path.join(paths[parent], name) if paths else b""
            paths.append(entry["path"])
            if entry["type"] == SYMLINK:
                entry["target"] = self.text("H")
            if entry["type"] == HARDLINK:
                entry["target"] = paths[entry["size"]]
            ranges = [self.take("QQ") for _ in range(self.take("I"))] if flags & 1 else [(0, entry["size"])]
            entry["attributes"] = [(self.text("H"), self.text("I")) for _ in range(self.take("H"))] if flags & 2 else []
            entry["extents"] = []  # (offset, length, name)
            for offset, length in ranges if entry["type"] == FILE else []:
                end = offset + length
                while offset < end:
                    piece = min(end, (offset // self.cut + 1) * self.cut) - offset
                    entry["extents"].append((offset, piece, self.take("32s")))
                    offset += piece
            yield entry


def finish(path, entry):
    """Owner, mode, attributes, time: each would change what comes before it."""
    os.chown(path, entry["uid"], entry["gid"], follow_symlinks=False)
    if entry["type"] != SYMLINK:
        os.chmod(path, entry["mode"])
    for name, value in entry["attributes"]:
        os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(entry["time"], entry["time"]), follow_symlinks=False)


def make(path, entry, packs, root):
    kind = entry["type"]
    if kind == FILE:
        with open(path, "xb") as file:
            for offset, length, name in entry["extents"]:
                file.seek(offset)
                file.write(bytes(length) if name == ZERO else packs.read(name))
            file.truncate(entry["size"])
    elif kind == SYMLINK:
        os.symlink(entry["target"], path)
    elif kind == HARDLINK:
        os.link(os.path.join(root, entry["target"]), path, follow_symlinks=False)
    elif kind == FIFO:
        os.mkfifo(path)
    else:
        device = os.makedev(entry["size"] >> 32, entry["size"] & 0xFFFFFFFF)
        os.mknod(path, entry["mode"] | (0o020000 if kind == CHARACTER else 0o060000), device)


def restore(snapshot, packs, target):
    root, directories = os.fsencode(target), []
    for entry in snapshot.entries():
        path = os.path.join(root, entry["path"]) if entry["path"] else root
        if entry["type"] == DIRECTORY:
            os.mkdir(path, 0o700)
            directories.append((path, entry))
            continue
        make(path, entry, packs, root)
        if entry["type"] != HARDLINK:
            finish(path, entry)
    for path, entry in reversed(directories):
        finish(path, entry)


def verify(snapshot, packs, right):
    """How many files are not whole; their paths are printed. `right` grows by what was read."""
    damaged = 0
    for entry in snapshot.entries():
        try:
            for _, _, name in entry["extents"]:
                if name != ZERO and name not in right:
                    packs.read(name)
                    right.add(name)
        except ValueError as error:
            damaged += 1
            print(f"{snapshot.header['id']}: {os.fsdecode(entry['path'])!r}: {error}")
    return damaged


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("list", "verify", "restore"):
        sys.exit(__doc__)
    verb, root = arguments[0], pathlib.Path(arguments[1])
    if (root / "format").read_text() != "roadstead-repository 2\n":
        sys.exit(f"{root} is of a format that this program does not know")
    lock = open(root / "lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # nothing is swept meanwhile
    except BlockingIOError:
        sys.exit(f"{root} is being swept; try again later")
    names = sorted(p.name for p in (root / "snapshots").iterdir() if not p.name.startswith("."))
    if verb == "list":
        for header in sorted((Snapshot(root / "snapshots" / name).header for name in names), key=lambda h: h["dataAsOf"]):
            print(header["dataAsOf"], header["id"], header["files"], "files", header["logicalBytes"], "bytes")
    elif verb == "verify":
        packs, right = Packs(root), set()
        damaged = sum(verify(Snapshot(root / "snapshots" / name), packs, right) for name in arguments[2:3] or names)
        sys.exit(f"{damaged} files are not whole" if damaged else 0)
    else:
        restore(Snapshot(root / "snapshots" / arguments[2]), Packs(root), arguments[3])


if __name__ == "__main__":
    main(sys.argv[1:])
