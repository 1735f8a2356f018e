"""What the tests share: one site with one operator, for all that leave it as they found it."""

import os

import pytest
from fleet import claim_prefix
from operator_process import PROGRAM
from scene import Scene

# cheap ones first; those that break production's WAL last
ORDER = ["test_volume_tree", "test_fleet", "test_spine", "test_manifests", "test_alerts", "test_kill", "test_failures", "test_volumes"]


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: takes long; `make soak` runs it, `make test` does not")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.index(item.module.__name__) if item.module.__name__ in ORDER else len(ORDER))


@pytest.fixture(scope="session")
def fresh_scene(tmp_path_factory):
    """The site from its first second on: nothing is known of its backups yet.

    With ROADSTEAD_SCENE=DIR it is kept there when the tests have ended, and taken up again by the next run: for people
    who write tests. `fleet.py down --dir DIR/fleet` takes it down."""
    assert PROGRAM.exists(), f"{PROGRAM} is not there; `make build`, or set ROADSTEAD_BUILD"
    kept = os.environ.get("ROADSTEAD_SCENE")
    made = Scene(kept, "e2k") if kept else Scene(tmp_path_factory.mktemp("scene"), claim_prefix("e2e"))
    try:
        if kept and (made.fleet.dir / "fleet.json").exists():
            made.operator.start()
            made.forget_restores()
        else:
            made.up()
        yield made
    finally:
        made.operator.kill() if kept else made.down()


@pytest.fixture(scope="session")
def scene(fresh_scene):
    """The site with its WAL streaming and a base backup made."""
    fresh_scene.wait_until_backed_up()
    return fresh_scene


@pytest.fixture
def whole_scene(scene):
    """For tests that break something: the site is whole again before and after."""
    yield scene
    for host in scene.fleet.hosts.values():
        host.power_on()
        host.plug()
    scene.fleet.start_production()
    scene.fleet.start_uat_app()
    if scene.operator.process.poll() is not None:
        scene.operator.start()
