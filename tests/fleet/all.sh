#!/usr/bin/env bash
# All tests on real engines but the long ones, as three runs beside each other, each on a fleet of its own: they wait
# more than they compute. Prints all, and fails if one fails.
set -uo pipefail
cd "$(dirname "$0")"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

run() {
  python3 -m pytest -q -m "not soak" --durations=5 "$@"
}

python3 fleet.py images || exit 1
run test_failures.py > "$logs/failures" 2>&1 &
failures=$!
run test_volume_tree.py test_volumes.py > "$logs/volumes" 2>&1 &
volumes=$!
run test_fleet.py test_spine.py test_manifests.py test_alerts.py test_kill.py
failed=$?
for job in $failures $volumes; do
  wait $job || failed=1
done
cat "$logs"/*
exit $failed
