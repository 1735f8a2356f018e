#include "operator/adapters/store/journal.h"

#include <sqlite3.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace roadstead::store {
namespace {

// Entry n leads from schema version n to n + 1; entries are only ever added.
constexpr std::array kMigrations = {
    R"sql(
      CREATE TABLE objects(
        kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        version INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY(kind, namespace, name));
      CREATE TABLE changes(
        version INTEGER PRIMARY KEY, type INTEGER NOT NULL,
        kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        labels_before TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL);
      CREATE TABLE state(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    )sql",
};

std::int64_t to_row(std::uint64_t number) { return static_cast<std::int64_t>(number); }

ObjectPtr object_of(const Statement& row, int first_column) {
  const std::string_view body = row.text(first_column + 4);
  return std::make_shared<const StoredObject>(
      StoredObject{{std::string(row.text(first_column)), std::string(row.text(first_column + 1)),
                    std::string(row.text(first_column + 2))},
                   static_cast<std::uint64_t>(row.number(first_column + 3)),
                   labels_of(nlohmann::json::parse(body)),
                   std::string(body)});
}

tl::unexpected<Error> damaged(const std::filesystem::path& file, std::string_view why) {
  return fail(ErrorKind::Internal,
              "{} is damaged ({}): move it aside and start again; hosts, policies and restores come back from the "
              "manifests, backups from barman's catalogue",
              file.string(), why);
}

/// The check tells a page that the disk did not give among the damage: "Page 5: unable to get the page. error
/// code=266".
bool is_read_error(std::string_view problem) {
  constexpr std::string_view kCode = "error code=";
  const auto at = problem.find(kCode);
  if (at == problem.npos) return false;
  int code = 0;
  std::from_chars(problem.data() + at + kCode.size(), problem.data() + problem.size(), code);
  return (code & 0xff) == SQLITE_IOERR;
}

tl::unexpected<Error> unusable(const std::filesystem::path& file, const Error& error) {
  return error.kind == ErrorKind::Internal ? damaged(file, error.message) : within(file.string(), error);
}

}  // namespace

Result<Journal> Journal::open(const std::filesystem::path& file, Time now) {
  auto database = Database::open(file.string());
  if (!database) return tl::unexpected(database.error());
  // The lock on the data directory keeps other operators out; somebody's sqlite3 shell may still hold the file briefly.
  for (const char* pragma : {"PRAGMA busy_timeout=5000", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=2000"})
    if (auto done = database->execute(pragma); !done) return unusable(file, done.error());
  const auto mode = database->text("PRAGMA journal_mode=WAL");
  if (!mode) return unusable(file, mode.error());
  if (*mode != "wal")
    return fail(ErrorKind::Unavailable, "{}: its file system cannot keep a write-ahead log (mode {})", file.string(),
                *mode);
  const auto check = database->text("PRAGMA quick_check(1)");
  if (!check) return unusable(file, check.error());
  if (is_read_error(*check))
    return fail(ErrorKind::Unavailable, "{} cannot be read from its disk ({}): see the kernel's log, and start again",
                file.string(), *check);
  if (*check != "ok") return damaged(file, *check);

  Journal journal(std::move(*database));
  if (auto done = journal.migrate(now); !done) return within(file.string(), done.error());
  if (auto done = journal.prepare(); !done) return within(file.string(), done.error());
  return journal;
}

Result<void> Journal::migrate(Time now) {
  const auto found = database_.number("PRAGMA user_version");
  if (!found) return tl::unexpected(found.error());
  const auto newest = static_cast<std::int64_t>(kMigrations.size());
  if (*found > newest)
    return fail(ErrorKind::Invalid,
                "its schema version {} is newer than this program knows ({}): run the newer roadstead again, or move "
                "the file aside",
                *found, newest);
  for (std::int64_t version = *found; version < newest; ++version) {
    // A new store does not begin at 1: after a lost one, the versions that clients still hold must not come again.
    const std::string first =
        fmt::format("INSERT INTO state VALUES('version', {0}), ('floor', {0});", now.time_since_epoch().count());
    const std::string step =
        fmt::format("BEGIN IMMEDIATE; {} {} PRAGMA user_version={}; COMMIT;",
                    kMigrations[static_cast<std::size_t>(version)], version == 0 ? first : "", version + 1);
    if (auto done = database_.execute(step.c_str()); !done) {
      (void)database_.execute("ROLLBACK");
      return tl::unexpected(done.error());
    }
  }
  return {};
}

Result<void> Journal::prepare() {
  const std::array<std::pair<Statement*, std::string_view>, 5> statements = {{
      {&put_object_,
       "INSERT INTO objects VALUES(?1, ?2, ?3, ?4, ?5) "
       "ON CONFLICT(kind, namespace, name) DO UPDATE SET version=excluded.version, body=excluded.body"},
      {&delete_object_, "DELETE FROM objects WHERE kind=?1 AND namespace=?2 AND name=?3"},
      {&add_change_, "INSERT INTO changes VALUES(?4, ?6, ?1, ?2, ?3, ?7, ?5, ?8)"},
      {&drop_changes_, "DELETE FROM changes WHERE version<=?1"},
      {&set_state_, "UPDATE state SET value=?2 WHERE name=?1"},
  }};
  for (const auto& [statement, sql] : statements) {
    auto prepared = database_.prepare(sql);
    if (!prepared) return tl::unexpected(prepared.error());
    *statement = std::move(*prepared);
  }
  return {};
}

Result<Journal::Contents> Journal::load() try {
  Contents contents;
  for (const auto& [name, value] : {std::pair{"version", &contents.version}, std::pair{"floor", &contents.floor}}) {
    const auto number = database_.number(fmt::format("SELECT value FROM state WHERE name='{}'", name));
    if (!number) return tl::unexpected(number.error());
    *value = static_cast<std::uint64_t>(*number);
  }
  auto objects = database_.prepare("SELECT kind, namespace, name, version, body FROM objects");
  if (!objects) return tl::unexpected(objects.error());
  auto row = objects->step();
  for (; row && *row; row = objects->step()) contents.objects.push_back(object_of(*objects, 0));
  if (!row) return tl::unexpected(row.error());

  auto changes = database_.prepare(
      "SELECT kind, namespace, name, version, body, type, labels_before, at FROM changes ORDER BY version");
  if (!changes) return tl::unexpected(changes.error());
  row = changes->step();
  for (; row && *row; row = changes->step())
    contents.changes.push_back({static_cast<Change::Type>(changes->number(5)), object_of(*changes, 0),
                                nlohmann::json::parse(changes->text(6)).get<Labels>(),
                                Time{Millis{changes->number(7)}}});
  if (!row) return tl::unexpected(row.error());
  return contents;
} catch (const nlohmann::json::exception& broken) {
  return fail(ErrorKind::Internal, "read the store: an object is not JSON: {}", broken.what());
}

Result<void> Journal::limit_pages(std::int64_t pages) {
  return database_.execute(fmt::format("PRAGMA max_page_count={}", pages).c_str());
}

Result<void> Journal::write(std::span<const Change> changes, std::uint64_t version, std::uint64_t floor) {
  if (auto begun = database_.execute("BEGIN IMMEDIATE"); !begun) return begun;
  auto written = write_rows(changes, version, floor);
  if (written) written = database_.execute("COMMIT");
  // After some failures SQLite has rolled back by itself; a second time does no harm.
  if (!written) (void)database_.execute("ROLLBACK");
  return written;
}

Result<void> Journal::write_rows(std::span<const Change> changes, std::uint64_t version, std::uint64_t floor) {
  for (const Change& change : changes) {
    const StoredObject& object = *change.object;
    const auto bind_key = [&](Statement& statement) -> Statement& {
      return statement.bind(1, object.key.kind).bind(2, object.key.ns).bind(3, object.key.name);
    };
    auto done = change.type == Change::Type::Deleted
                    ? bind_key(delete_object_).run()
                    : bind_key(put_object_).bind(4, to_row(object.version)).bind(5, object.bytes).run();
    if (!done) return done;
    bind_key(add_change_).bind(4, to_row(object.version)).bind(5, object.bytes);
    done = add_change_.bind(6, static_cast<std::int64_t>(change.type))
               .bind(7, nlohmann::json(change.labels_before).dump())
               .bind(8, change.at.time_since_epoch().count())
               .run();
    if (!done) return done;
  }
  if (auto done = drop_changes_.bind(1, to_row(floor)).run(); !done) return done;
  if (auto done = set_state_.bind(1, "floor").bind(2, to_row(floor)).run(); !done) return done;
  return set_state_.bind(1, "version").bind(2, to_row(version)).run();
}

}  // namespace roadstead::store
