#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "operator/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace roadstead::store {

struct CloseDatabase {
  void operator()(sqlite3* database) const;
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const;
};

class Statement;

/// One connection. Not shared between threads. Errors: NoSpace (disk full), Unavailable (I/O error, locked), Internal
/// (a mistake in our SQL, a damaged file); the message is SQLite's own.
class Database {
 public:
  /// Creates the file, readable by its owner alone, where there is none.
  static Result<Database> open(const std::string& path);

  /// Statements without parameters and without interest in their rows.
  Result<void> execute(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  /// The first column of the first row. Errors: NotFound (no row).
  Result<std::int64_t> number(std::string_view sql);
  Result<std::string> text(std::string_view sql);

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
};

/// A prepared statement: bind all parameters, step until there is no row, reset, again.
class Statement {
 public:
  Statement() = default;

  /// Parameters count from 1. `text` is copied.
  Statement& bind(int parameter, std::string_view text);
  Statement& bind(int parameter, std::int64_t number);
  Statement& bind_null(int parameter);

  /// True: there is a row to read. False: done.
  Result<bool> step();
  /// Steps a statement that gives no rows, and resets it.
  Result<void> run();
  void reset();

  /// Columns count from 0. The text is valid until the next step.
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> handle_;
};

}  // namespace roadstead::store
