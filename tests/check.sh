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
# clang 14 has coroutines, but under another name than the standard library and Boost look for
coroutines=(--extra-arg=-D__cpp_impl_coroutine=201902L --extra-arg=-DBOOST_ASIO_HAS_CO_AWAIT=1)
git ls-files '*.cpp' ':!tests' | xargs -P "$(nproc)" -n 4 clang-tidy -p build/lint --quiet "${coroutines[@]}"
for preset in asan tsan; do
  echo "unit and component tests with $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j "$(nproc)"
  ctest --preset "$preset"
done
