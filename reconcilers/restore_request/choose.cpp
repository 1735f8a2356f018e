#include "reconcilers/restore_request/choose.h"

#include <algorithm>

namespace roadstead::reconcilers::restore {

ChosenBackup choose_backup(const crds::RestorePoint& point, const std::string& server,
                           const std::vector<crds::CatalogBackup>& catalogue) {
  if (point.backup_id) {
    const auto found = std::ranges::find(catalogue, *point.backup_id, &crds::CatalogBackup::id);
    if (found == catalogue.end())
      return {{},
              fmt::format("BarmanServer {} has no backup {}; choose one of status.backups (`roadstead get barmanserver "
                          "{} -o yaml`)",
                          server, *point.backup_id, server)};
    if (found->status != "DONE")
      return {
          {},
          fmt::format("backup {} of BarmanServer {} is {}; choose one that is DONE", found->id, server, found->status)};
    if (found->type == "incremental")
      return {{}, fmt::format("backup {} of BarmanServer {} is incremental; choose a full one", found->id, server)};
    return {*found, {}};
  }
  const crds::CatalogBackup* newest = nullptr;
  for (const auto& one : catalogue)
    if (one.status == "DONE" && one.type != "incremental" && (newest == nullptr || one.id > newest->id)) newest = &one;
  if (newest == nullptr)
    return {{},
            fmt::format("BarmanServer {} has no good full backup yet; `roadstead backup POLICY` with the BackupPolicy "
                        "of that server makes one now",
                        server)};
  return {*newest, {}};
}

std::uint64_t segment_bytes_of(const crds::CatalogBackup& backup) {
  const auto lsn = parse_lsn(backup.begin_lsn);
  constexpr std::uint64_t kSmallest = 1 << 20, kLargest = 1 << 30;
  for (std::uint64_t bytes = kSmallest; lsn && bytes <= kLargest; bytes *= 2)
    if (const auto segment = parse_segment(backup.begin_wal, bytes); segment && segment->number == *lsn / bytes)
      return bytes;
  return kDefaultWalSegmentBytes;
}

std::string end_of_timeline(const std::string& segment) { return segment.substr(0, 8) + "FFFFFFFF00000000"; }

std::string newest_of(const WalListing& listing, const std::string& otherwise) {
  std::string newest = otherwise;
  for (const auto& segment : listing.segments)
    if (segment.substr(8) > newest.substr(8)) newest = segment;
  return newest;
}

}  // namespace roadstead::reconcilers::restore
