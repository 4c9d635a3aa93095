// Process: everything the shim keeps for this process; the one global of vfs/.
//
// Owns the selection, the engine loader and the databases. Made once, never freed (files may be
// used until the last instruction of the process); any thread. In a forked child a new one takes
// its place, and files that were opened before the fork find that theirs is not the current one:
// they only pass through.

#ifndef BACKSTAY_VFS_PROCESS_H_
#define BACKSTAY_VFS_PROCESS_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "vfs/database.h"
#include "vfs/engine_loader.h"
#include "vfs/own_log.h"
#include "vfs/said.h"
#include "vfs/selection.h"
#include "vfs/shortage.h"

namespace backstay {

class Process {
 public:
  // The process's own, or NULL before Start() and in a child that ran out of memory.
  static Process* Current() noexcept;
  // Reads the configuration; does nothing when there is one already. `folder`: OwnFolder().
  static void Start(const SelectionOptions& options, const std::string& folder);

  const Selection& selection() const { return *selection_; }
  // Loads the engine at the first call; NULL when that fails, and *error says why (empty: ask
  // again).
  const BackstayEngine* Engine(std::string* error);
  const EngineLoader& loader() const { return loader_; }
  HostFiles* files() { return &files_; }

  // A connection opened this database. NULL if another copy of SQLite, or another file under this
  // name, is being replicated. To be ended by Detach().
  Database* Attach(DatabaseOptions options);
  [[nodiscard]] Closing Detach(Database* database) noexcept;
  // The database of that path and copy of SQLite, if it is open; NULL if not, or if another file
  // has taken its path. To be ended by Detach(): until then the engine's handle stays good.
  Database* Use(const std::string& path, const SqliteCopy* copy) noexcept;
  void Retain(Database* database) noexcept;
  void Release(Database* database) noexcept;

  // The application has no file descriptor or memory for what it does: the engine gives back what
  // it has, and is left alone for a while. False: there was nothing.
  bool GiveBack(Shortage::What what) noexcept;
  const Shortage& shortage() const { return shortage_; }

  // One log line, through the engine if it is there. The same text is said once, or, while the
  // application runs into it, again at the pace of Said.
  void Say(Repeat repeat, int level, std::string_view path, std::string_view message) noexcept;
  // What was said of the database lasts no longer.
  void Unsay(std::string_view path, std::string_view message) noexcept;
  // An application opened a database that is selected, or one that is not. A process of which none
  // is selected, and none could be by what is there, is told so.
  void OpenedSelected() noexcept { selected_ = true; }
  void OpenedUnselected(const char* path) noexcept;

 private:
  Process(std::shared_ptr<const Selection> selection, std::string folder)
      : selection_(std::move(selection)), own_log_(selection_->log()), loader_(std::move(folder)) {}
  static void AfterForkInChild() noexcept;
  void WriteLine(int level, std::string_view path, std::string_view message);

  const std::shared_ptr<const Selection> selection_;
  OwnLog own_log_;
  EngineLoader loader_;
  HostFiles files_;
  Shortage shortage_;
  std::atomic<bool> selected_ = false;  // a database that was opened
  std::mutex mutex_;
  std::map<std::string, Database*> databases_;  // by path; guarded by mutex_
  std::mutex said_mutex_;
  Said said_;  // guarded by said_mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_PROCESS_H_
