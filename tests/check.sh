#!/usr/bin/env bash
# Formatting, lint and sanitizers: what takes too long for the test command.
set -euo pipefail
cd "$(dirname "$0")/.."
images/deps.sh --check
files=$(git ls-files '*.h' '*.cpp')
echo "formatting"
clang-format --dry-run --Werror $files
echo "lint"
# clang reads no precompiled header of g++
cmake --preset dev -B build/lint -DROADSTEAD_PCH=OFF -DROADSTEAD_TESTS=OFF >/dev/null
git ls-files '*.cpp' ':!tests' | xargs -P "$(nproc)" -n 4 clang-tidy -p build/lint --quiet
for preset in asan tsan; do
  echo "unit and component tests with $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j "$(nproc)"
  ctest --preset "$preset"
done
