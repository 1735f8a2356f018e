#!/usr/bin/env bash
# All tests on real engines but the long ones, as two runs beside each other, each on a fleet of its own: they wait more
# than they compute. Prints both, and fails if one fails.
set -uo pipefail
cd "$(dirname "$0")"
second_log=$(mktemp)
trap 'rm -f "$second_log"' EXIT

python3 fleet.py images || exit 1
ROADSTEAD_PREFIX=e2f python3 -m pytest -q -m "not soak" --durations=5 test_failures.py > "$second_log" 2>&1 &
python3 -m pytest -q -m "not soak" --durations=5 test_fleet.py test_spine.py test_manifests.py test_alerts.py test_kill.py
first=$?
wait $!
second=$?
cat "$second_log"
[ $first = 0 ] && [ $second = 0 ]
