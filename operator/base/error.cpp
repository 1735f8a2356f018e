#include "operator/base/result.h"

namespace roadstead {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::NotFound:
      return "NotFound";
    case ErrorKind::AlreadyExists:
      return "AlreadyExists";
    case ErrorKind::Conflict:
      return "Conflict";
    case ErrorKind::Invalid:
      return "Invalid";
    case ErrorKind::Forbidden:
      return "Forbidden";
    case ErrorKind::Unavailable:
      return "Unavailable";
    case ErrorKind::Timeout:
      return "Timeout";
    case ErrorKind::Cancelled:
      return "Cancelled";
    case ErrorKind::Expired:
      return "Expired";
    case ErrorKind::NoSpace:
      return "NoSpace";
    case ErrorKind::Internal:
      return "Internal";
  }
  return "Internal";
}

bool is_retryable(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Conflict:
    case ErrorKind::Unavailable:
    case ErrorKind::Timeout:
    case ErrorKind::Cancelled:
    case ErrorKind::Expired:
    case ErrorKind::NoSpace:
      return true;
    case ErrorKind::NotFound:
    case ErrorKind::AlreadyExists:
    case ErrorKind::Invalid:
    case ErrorKind::Forbidden:
    case ErrorKind::Internal:
      return false;
  }
  return false;
}

tl::unexpected<Error> within(std::string_view where, Error error) {
  error.message = fmt::format("{}: {}", where, error.message);
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace roadstead
