"""The alert rules in a real Prometheus that scrapes the operator."""

import json
import re
import subprocess
import urllib.request

import pytest
from fleet import REPOSITORY, wait_for
from operator_process import free_port
from scene import SERVER


@pytest.fixture
def prometheus(scene, tmp_path):
    """Its port. The rules are the project's, with the waiting times cut to nothing."""
    rules = (REPOSITORY / "metrics/alerts.yaml").read_text()
    (tmp_path / "alerts.yaml").write_text(re.sub(r"^(\s+for:) \S+$", r"\1 1s", rules, flags=re.M))
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(tmp_path / "alerts.yaml")],
        "scrape_configs": [{"job_name": "roadstead", "static_configs": [{"targets": [f"127.0.0.1:{scene.operator.metrics_port}"]}]}],
    }))
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    yield port
    process.terminate()
    process.wait()


def alerts(port, severity=("critical", "warning")):
    """Firing alerts of this server, name -> annotations; None where nothing can be asked."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=5) as answer:
            found = json.load(answer)["data"]["alerts"]
    except OSError:
        return None
    return {alert["labels"]["alertname"]: alert["annotations"] for alert in found
            if alert["state"] == "firing" and alert["labels"].get("server") in (None, SERVER) and alert["labels"]["severity"] in severity}


def fires(port, name):
    """Whether this alert fires; None where nothing can be asked."""
    firing = alerts(port)
    return None if firing is None else name in firing


def healthy(port):
    """Whether the operator was scraped well."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=5) as answer:
            return [target["health"] for target in json.load(answer)["data"]["activeTargets"]] == ["up"]
    except OSError:
        return False


def test_a_stale_base_backup_fires_and_is_gone_when_it_is_allowed_again(scene, prometheus):
    """Staleness is what the manifest says: its objective is made so small that any base backup is too old."""
    wait_for("a scrape of the operator", lambda: healthy(prometheus), 30, every=0.2)
    path = next(path for path in scene.operator.manifests.glob("*.yaml") if "maxBaseBackupAgeSeconds" in path.read_text())
    as_it_was = path.read_text()
    assert fires(prometheus, "RoadsteadBaseBackupStale") is False
    path.write_text(re.sub(r"maxBaseBackupAgeSeconds: \d+", "maxBaseBackupAgeSeconds: 1", as_it_was))
    try:
        fired = wait_for("the alert", lambda: (alerts(prometheus) or {}).get("RoadsteadBaseBackupStale"), 60, every=0.5)
        assert SERVER in fired["summary"] and "roadstead get backups" in fired["description"]
    finally:
        path.write_text(as_it_was)
    wait_for("the alert's end", lambda: fires(prometheus, "RoadsteadBaseBackupStale") is False, 60, every=0.5)


def test_nothing_critical_fires_where_all_is_well(scene, prometheus):
    wait_for("a scrape of the operator", lambda: healthy(prometheus), 30, every=0.2)
    scene.operator.wait_condition("barmanserver", SERVER, "Ready")
    wait_for("silence", lambda: alerts(prometheus, ("critical",)) == {}, 60, every=0.5)
