#include "operator/runtime/manager.h"

#include "operator/base/log.h"

namespace roadstead {

Manager::~Manager() { stop(); }

void Manager::add(Runnable& runnable) { runnables_.push_back(&runnable); }

Result<void> Manager::start() {
  for (Runnable* runnable : runnables_) {
    if (auto begun = runnable->start(); !begun) {
      stop();
      return within("start " + runnable->name(), begun.error());
    }
    ++started_;
  }
  return {};
}

void Manager::stop() {
  while (started_ > 0) {
    Runnable& runnable = *runnables_[--started_];
    log_debug("stopping", {{"what", runnable.name()}});
    runnable.stop();
  }
}

}  // namespace roadstead
