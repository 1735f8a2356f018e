"""Bad input: one sentence with file, line and field, and nothing changes; a file that is gone deletes nothing."""

import json
import re
import subprocess

import pytest
from fleet import wait_for
from operator_process import PROGRAM
from scene import POLICY, SERVER

GOOD = """apiVersion: roadstead.dev/v1alpha1
kind: BackupPolicy
metadata:
  name: nightly
  namespace: default
spec:
  source:
    barman:
      serverRef:
        name: montagu
  schedule:
    cron: "0 3 * * *"
    timeZone: Europe/London
  suspend: true
"""


def alias_bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines) + "\n"


# what is wrong -> (text, line, what the sentence names)
BAD = {
    "unknown field": (GOOD.replace("  suspend: true", "  suspnd: true"), 14, r"spec\.suspnd"),
    "wrong type": (GOOD.replace("  suspend: true", "  suspend: perhaps"), 14, r"spec\.suspend"),
    "bad cron": (GOOD.replace("0 3 * * *", "0 25 * * *"), 12, r"spec\.schedule\.cron"),
    "unknown zone": (GOOD.replace("Europe/London", "Europe/Londres"), 13, r"spec\.schedule\.timeZone"),
    "duplicate key": (GOOD.replace("  suspend: true", "  suspend: true\n  suspend: false"), 15, r"suspend"),
    "a tab": (GOOD.replace("  suspend: true", "\tsuspend: true"), 14, r"\btab\b"),
    "binary": ("apiVersion: roadstead.dev/v1alpha1\nkind: \x00\x01\x02\xff\n", 2, r""),
    "ten mebibytes": (GOOD + "# " + "x" * (10 << 20) + "\n", None, r"MiB|large|bytes"),
    "alias bomb": (alias_bomb(), None, r"alias|values"),
    "nesting bomb": ("spec: " + "[" * 5000 + "]" * 5000 + "\n", None, r"nest|deep|level"),
}


def encoded(text):
    return text.encode("latin-1") if "\xff" in text else text.encode()


@pytest.mark.parametrize("what", BAD)
def test_validate_says_what_is_wrong_and_where_in_one_sentence(tmp_path, what):
    """Offline: no operator is asked."""
    text, line, named = BAD[what]
    path = tmp_path / "bad.yaml"
    path.write_bytes(encoded(text))
    done = subprocess.run([PROGRAM, "validate", "-f", path], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    said = (done.stderr + done.stdout).strip().splitlines()
    problems = [sentence for sentence in said if str(path) in sentence or sentence.startswith("bad.yaml")]
    assert len(problems) == 1, said
    assert len(problems[0]) < 500
    assert re.search(rf"bad\.yaml:{line if line else '[0-9]+'}\b", problems[0]) or line is None and "bad.yaml" in problems[0], problems
    assert re.search(named, problems[0], re.I), problems


def test_validate_names_every_mistake_of_a_directory(tmp_path):
    for what in ("unknown field", "bad cron", "unknown zone"):
        (tmp_path / f"{what.replace(' ', '-')}.yaml").write_bytes(encoded(BAD[what][0]))
    (tmp_path / "good.yaml").write_text(GOOD)
    done = subprocess.run([PROGRAM, "validate", "-f", tmp_path], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    for what in ("unknown-field.yaml:14", "bad-cron.yaml:12", "unknown-zone.yaml:13"):
        assert what in done.stderr + done.stdout
    assert "good.yaml:" not in done.stderr


def test_the_examples_are_valid(scene):
    done = subprocess.run([PROGRAM, "validate", "-f", scene.operator.manifests], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_broken_files_change_nothing_and_are_told_three_ways(scene):
    """What came from a file before stays; the running operator says so by event, log line and metric."""
    operator = scene.operator
    path = operator.manifests / "nightly.yaml"
    path.write_text(GOOD)
    operator.wait("backuppolicy", "nightly", lambda o: o["spec"]["suspend"], 20)
    try:
        before = operator.get("backuppolicy", "nightly")
        others = {(o["kind"], o["metadata"]["name"]): o["metadata"]["generation"]
                  for kind in ("hosts", "barmanservers", "backuppolicies") for o in operator.items(kind)}
        for what, (text, line, _) in BAD.items():
            at = operator.log.stat().st_size
            path.write_bytes(encoded(text))

            def said(at=at, line=line):
                new = operator.log.read_bytes()[at:].decode(errors="replace")
                return re.search(rf"nightly\.yaml:{line}\b" if line else r"nightly\.yaml", new)

            wait_for(f"the operator's word about: {what}", said, 20)
            wait_for("its metric", lambda: operator.metric("roadstead_manifest_files_broken") == 1, 10)
        now = operator.get("backuppolicy", "nightly")
        assert now["spec"] == before["spec"] and now["metadata"]["generation"] == before["metadata"]["generation"]
        assert others == {(o["kind"], o["metadata"]["name"]): o["metadata"]["generation"]
                          for kind in ("hosts", "barmanservers", "backuppolicies") for o in operator.items(kind)}
        events = operator.cli("get", "events").stdout
        assert "nightly.yaml" in events, events
    finally:
        path.write_text(GOOD)
    wait_for("the file's recovery", lambda: operator.metric("roadstead_manifest_files_broken") == 0, 20)


def test_a_removed_file_deletes_nothing(scene):
    operator = scene.operator
    path, series = operator.manifests / "nightly.yaml", "roadstead_manifest_objects_source_missing"
    before = operator.metric(series)
    path.write_text(GOOD)
    operator.wait("backuppolicy", "nightly", lambda o: True, 20)
    path.unlink()
    wait_for("the metric of objects without a manifest", lambda: operator.metric(series) == before + 1, 20)
    assert operator.get("backuppolicy", "nightly")
    operator.cli("delete", "backuppolicy", "nightly")
    wait_for("its deletion by hand", lambda: operator.get("backuppolicy", "nightly") is None, 20)
    path.write_text("# nothing\n")  # any change has the directory read again before its minute is over
    try:
        wait_for("the metric's fall", lambda: operator.metric(series) == before, 30)
    finally:
        path.unlink()


def test_a_change_is_applied_when_it_is_saved(scene):
    operator = scene.operator
    path = operator.manifests / "nightly.yaml"
    try:
        path.write_text(GOOD)
        operator.wait("backuppolicy", "nightly", lambda o: o["spec"]["schedule"]["cron"] == "0 3 * * *", 10)
        path.write_text(GOOD.replace("0 3 * * *", "0 4 * * *"))
        operator.wait("backuppolicy", "nightly", lambda o: o["spec"]["schedule"]["cron"] == "0 4 * * *", 10)
    finally:
        path.unlink()
        operator.cli("delete", "backuppolicy", "nightly", check=False)


def test_the_command_line_refuses_what_validate_refuses(scene, tmp_path):
    """One sentence each, exit 1, nothing stored."""
    for what, (text, _, named) in BAD.items():
        path = tmp_path / "bad.yaml"
        path.write_bytes(encoded(text))
        done = scene.operator.cli("apply", "-f", path, check=False)
        assert done.returncode == 1, what
        assert re.search(named, done.stderr, re.I), (what, done.stderr)
    assert scene.operator.get("backuppolicy", "nightly") is None
    assert json.loads(scene.operator.cli("get", "backuppolicies", "-o", "json").stdout)["items"][0]["metadata"]["name"] == POLICY
    assert scene.operator.get("barmanserver", SERVER)
