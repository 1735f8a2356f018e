#include "mover/run.h"

#include "mover/copy.h"
#include "mover/repository/upkeep.h"
#include "mover/volume.h"
#include "operator/base/quantity.h"

namespace roadstead::mover {
namespace {

WorkerResult well(std::string reason, std::string message, std::string data = "{}") {
  return {true, std::move(reason), std::move(message), "", std::move(data)};
}

/// A verb's data as a result.
template <class Data>
WorkerResult told(const Outcome<Data>& outcome, std::string reason, std::string message) {
  if (!outcome) return result_of(outcome.error());
  return well(std::move(reason), std::move(message), to_json(*outcome));
}

WorkerResult told(const Outcome<void>& outcome, std::string reason, std::string message) {
  return outcome ? well(std::move(reason), std::move(message)) : result_of(outcome.error());
}

std::string sentence_of(const ForgetData& data, bool dry_run) {
  return fmt::format("{} {} snapshots and {} packs, {} {} anew: {} freed, {} left.",
                     dry_run ? "Would remove" : "Removed", data.removed_snapshots, data.removed_packs,
                     dry_run ? "write" : "wrote", data.rewritten_packs, human_bytes(data.freed_bytes),
                     human_bytes(data.pack_bytes));
}

std::string sentence_of(const VerifyData& data) {
  const std::string read = fmt::format("Read {} packs with {}", data.packs, human_bytes(data.bytes));
  if (data.damaged == 0 && data.missing == 0 && data.damage.empty()) return read + ": all is as it was written.";
  return fmt::format("{}: {} extents are damaged, {} are missing, {} snapshots are concerned.", read, data.damaged,
                     data.missing, data.damage.size());
}

class Runner {
 public:
  Runner(const Key& key, const std::stop_token& stop, Meter& meter) : key_(key), stop_(stop), meter_(meter) {}

  WorkerResult operator()(const Copy& job) const {
    const CopyEnd end = copy(job, key_, stop_, meter_);
    if (end.failure) return result_of(*end.failure, to_json(end.data));
    return well("Copied",
                fmt::format("Copied {} files with {} ({} of it moved).", end.data.files_total,
                            human_bytes(end.data.bytes_total), human_bytes(end.data.bytes_sent)),
                to_json(end.data));
  }

  WorkerResult operator()(const Connect& job) const {
    meter_.enter(job.link.mode == LinkMode::Serve ? "Listening" : "Connecting");
    const auto data = probe(job.link, key_, stop_);
    return told(data, "Connected",
                data ? fmt::format("Reached {} and back in {:.1f} ms.", data->peer, data->round_trip_millis) : "");
  }

  WorkerResult operator()(const Survey& job) const { return told(survey(job), "Surveyed", "Looked at all volumes."); }
  WorkerResult operator()(const Inspect& job) const { return told(inspect(job, stop_), "Inspected", "Looked at it."); }

  WorkerResult operator()(const Mark& job) const {
    return told(mark(job), "Marked", fmt::format("Wrote the mark of {}.", job.target.request));
  }

  WorkerResult operator()(const Exchange& job) const {
    const auto data = exchange(job);
    return told(
        data, "Exchanged",
        data && data->already ? "The tree was the volume's data already." : "The tree is the volume's data now.");
  }

  WorkerResult operator()(const Finish& job) const {
    return told(finish(job), "Finished", fmt::format("Wrote {} files into the staged tree.", job.files.size()));
  }

  WorkerResult operator()(const Discard& job) const {
    const auto data = discard(job, stop_);
    return told(data, "Discarded", data ? fmt::format("Removed {} entries.", data->removed) : "");
  }

  WorkerResult operator()(const Empty& job) const {
    const auto data = empty(job, stop_);
    return told(data, "Emptied", data ? fmt::format("Removed {} entries.", data->removed) : "");
  }

  WorkerResult operator()(const MakeDirectory& job) const {
    return told(make_directory(job), "Made", fmt::format("The directory {} is there.", job.path));
  }

  WorkerResult operator()(const Snapshots& job) const {
    const auto data = snapshots(job);
    return told(data, "Listed", data ? fmt::format("{} snapshots.", data->snapshots.size()) : "");
  }

  WorkerResult operator()(const Forget& job) const {
    const auto data = forget(job, stop_);
    return told(data, "Forgotten", data ? sentence_of(*data, job.dry_run) : "");
  }

  WorkerResult operator()(const Keep& job) const {
    return told(keep(job), "Marked",
                fmt::format("{} snapshots are kept, {} are not any more.", job.keep.size(), job.release.size()));
  }

  WorkerResult operator()(const Verify& job) const {
    const auto data = verify(job, stop_, meter_);
    return told(data, "Verified", data ? sentence_of(*data) : "");
  }

 private:
  const Key& key_;
  const std::stop_token& stop_;
  Meter& meter_;
};

/// "connect to x: refused" as a sentence.
std::string sentence(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

}  // namespace

bool needs_key(const Job& job) {
  if (const auto* copy = std::get_if<Copy>(&job)) return copy->role != Role::Both;
  return std::holds_alternative<Connect>(job);
}

WorkerResult run(const Job& job, const Key& key, const std::stop_token& stop, Meter& meter) {
  try {
    return std::visit(Runner(key, stop, meter), job);
  } catch (const std::exception& error) {  // out of memory, a broken promise of OpenSSL
    return result_of(
        {"Internal", error.what(), "run the step again; if it happens again, report it with the mover's log"});
  }
}

WorkerResult result_of(const Failure& failure, std::string data) {
  return {false, failure.reason, sentence(failure.message), sentence(failure.next), std::move(data)};
}

}  // namespace roadstead::mover
