#!/usr/bin/env python3
"""Shows that every #include follows an arrow of docs/architecture.md, and that each third-party library stays in its room."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]

# A file belongs to the room with the longest matching folder; it may include its own room and those listed.
ARROWS = {
    "operator/base": [],
    "crds": ["operator/base"],
    "crds/schema": ["crds", "operator/base"],
    "crds/yaml": ["crds", "crds/schema", "operator/base"],
    "metrics": ["operator/base"],
    "operator/runtime": ["metrics", "operator/base"],
    "operator/ports": ["crds", "operator/base"],
    "mover/contract": ["operator/base"],
    "mover": ["mover/contract", "operator/base"],
    "reconcilers": ["crds", "crds/schema", "operator/runtime", "operator/ports", "metrics", "mover/contract", "operator/base"],
    "operator/cli": ["operator/ports", "crds", "crds/schema", "crds/yaml", "operator/base"],
}
for adapter in ("docker", "ssh", "store", "files", "apiserver", "rest", "kube", "http"):
    ARROWS[f"operator/adapters/{adapter}"] = ["operator/ports", "crds", "crds/schema", "crds/yaml", "metrics", "operator/base"]
# What both users of cpprest need of the process.
for adapter in ("kube", "http"):
    ARROWS[f"operator/adapters/{adapter}"].append("operator/adapters/rest")
# main is the only place where concrete types meet.
ARROWS["operator"] = list(ARROWS)

# Which rooms may name a third-party header (by the first part of its path).
THIRD_PARTY = {
    "boost": ["operator/adapters/apiserver", "operator/adapters/docker"],
    "cpprest": ["operator/adapters/kube", "operator/adapters/http"],
    "pplx": ["operator/adapters/rest"],
    "libssh": ["operator/adapters/ssh"],
    "sqlite3.h": ["operator/adapters/store"],
    "prometheus": ["metrics"],
    "yaml-cpp": ["crds/yaml"],
    "re2": ["crds/schema"],
    "archive.h": ["operator/adapters/docker"],
    "archive_entry.h": ["operator/adapters/docker"],
    "CLI": ["operator/cli", "operator"],
    # base has Result; the others have expected values whose errors are places in a file, or steps that ended.
    "tl": ["operator/base", "crds/yaml", "mover"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def rooms_by_length():
    return sorted(ARROWS, key=len, reverse=True)


def room_of(path: str):
    return next((room for room in rooms_by_length() if path.startswith(room + "/")), None)


def sources():
    for top in ("operator", "crds", "metrics", "mover", "reconcilers"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".h", ".cpp"):
                yield path.relative_to(ROOT).as_posix()


def includes(path: str):
    for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match.group(1), match.group(2)


def wrong_arrow(path: str, kind: str, name: str):
    """A sentence where the include breaks a rule, else None."""
    room = room_of(path)
    if room is None:
        return f"{path} is in no room; give its folder one in this test and in docs/architecture.md"
    if kind == '"':
        other = room_of(name)
        if other is None:
            return f"{path} includes \"{name}\", which names no room; write includes from the project's root"
        if other != room and other not in ARROWS[room]:
            return f"{path}: {room} must not include {other} (\"{name}\")"
        return None
    owners = THIRD_PARTY.get(name.split("/")[0])
    if owners is not None and room not in owners:
        return f"{path}: <{name}> stays in {', '.join(owners)}"
    return None


class Layers(unittest.TestCase):
    def test_every_include_follows_an_arrow(self):
        wrong = [
            f"{problem} (line {number})"
            for path in sources()
            for number, kind, name in includes(path)
            if (problem := wrong_arrow(path, kind, name))
        ]
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_a_wrong_arrow_would_be_seen(self):
        self.assertIsNotNone(wrong_arrow("operator/base/x.cpp", '"', "crds/host.h"))
        self.assertIsNotNone(wrong_arrow("operator/adapters/docker/x.cpp", '"', "operator/adapters/ssh/session.h"))
        self.assertIsNotNone(wrong_arrow("reconcilers/host/x.cpp", '"', "mover/wire.h"))
        self.assertIsNotNone(wrong_arrow("reconcilers/host/x.cpp", "<", "boost/beast.hpp"))
        self.assertIsNone(wrong_arrow("reconcilers/host/x.cpp", '"', "operator/ports/engine.h"))

    def test_there_are_sources(self):
        self.assertGreater(sum(1 for _ in sources()), 20)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
