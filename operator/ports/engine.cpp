#include "operator/ports/engine.h"

namespace roadstead {

std::string_view to_string(ContainerState state) {
  switch (state) {
    case ContainerState::Created:
      return "created";
    case ContainerState::Running:
      return "running";
    case ContainerState::Paused:
      return "paused";
    case ContainerState::Restarting:
      return "restarting";
    case ContainerState::Removing:
      return "removing";
    case ContainerState::Exited:
      return "exited";
    case ContainerState::Dead:
      return "dead";
  }
  return "dead";
}

}  // namespace roadstead
