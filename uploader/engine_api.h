/* engine_api.h: all that vfs/ and uploader/ know of each other. C-compatible, versioned.
**
** libbackstay_engine.so exports one function, backstay_engine(version), which returns the
** table below or NULL when it does not speak that version. The shim dlopen()s it at the
** first replicated database and never closes it.
**
** Threads. Functions of BackstayEngine may be called on any application thread. None throws,
** writes to stdout or changes signal handlers. committed() never blocks; finish_wal(),
** sync() and drain() block at most the time they are given, closed() the configured close timeout,
** checkpoint() 20 ms, written() 0.5 s for each replica; the others only for short, purely local
** work. The callbacks of
** BackstayHost are called on the engine's threads, at any time between open() and release(), and
** never throw.
**
** Failure. open() fails with a message for people and leaves the application alone;
** everything after that is reported by log and status only. */
#ifndef BACKSTAY_UPLOADER_ENGINE_API_H_
#define BACKSTAY_UPLOADER_ENGINE_API_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BACKSTAY_ENGINE_API_VERSION 10
#define BACKSTAY_SYNC_COMMIT (-2)
#define BACKSTAY_LOST (-2)
#define BACKSTAY_ENGINE_SYMBOL "backstay_engine"

/* The committed end of a WAL. In NORMAL locking mode: the wal-index header
** (sqlite.org/walformat.html, 2.1). In EXCLUSIVE locking mode there is no wal-index:
** `exclusive` is 1, `change` and `pages` are 0, the rest comes from the commit frame that
** was written. max_frame 0: the WAL is empty or absent. */
typedef struct BackstayWalPosition {
  uint32_t salt1, salt2; /* as 32-bit big-endian values of the WAL header */
  uint32_t max_frame;    /* 1-based number of the last committed frame */
  uint32_t pages;        /* database size in pages */
  uint32_t
      change; /* iChange: +1 for each commit by anyone; restarts when the wal-index is recreated */
  uint32_t exclusive;
} BackstayWalPosition;

/* What a transaction in a rollback-journal mode wrote to the main database file. */
typedef struct BackstayWrites {
  int committed;         /* 0: rolled back (also: by the playback of a hot journal) */
  int complete;          /* 0: not all pages are known; the rest says nothing then */
  uint32_t page_size;    /* bytes */
  uint32_t count;        /* pages that were written */
  const uint32_t *pgnos; /* their numbers, 1-based, ascending */
  const uint8_t *images; /* count pages as they are now; NULL: too many, to be read again */
  const uint8_t *old;    /* count pages as they were before; what was not there is zeros */
} BackstayWrites;

/* What the engine may ask of the process that has the database open. */
typedef struct BackstayHost {
  void *ctx;
  /* Reads n bytes of the main database file at ofst through the host's own VFS. Returns the
  ** bytes read (fewer only at the end of the file) or -1. */
  int64_t (*read)(void *ctx, void *buf, int64_t n, int64_t ofst);
  /* Size of the main database file in bytes, or -1. BACKSTAY_LOST: the application has closed the
  ** descriptor that it was read by, and nothing will be read any more. */
  int64_t (*size)(void *ctx);
  /* The committed position from a mapped wal-index. 1: *pos is set. 0: none is mapped now
  ** (no connection has the WAL open, or EXCLUSIVE locking mode). */
  int (*wal_position)(void *ctx, BackstayWalPosition *pos);
  /* 1 if a connection of this process has the database open. */
  int (*in_use)(void *ctx);
  /* The number of the transaction of this process that keeps others from writing to the database;
  ** 0: none does. */
  uint64_t (*writing)(void *ctx);
  /* 1 while a transaction in a rollback-journal mode writes to the file that began without
  ** writing() of this handle: what the file holds is not committed. */
  int (*untold)(void *ctx);
  /* The engine has let go of the database and holds nothing of it any more: it may be opened anew,
  ** from within this call, too. */
  void (*let_go)(void *ctx);
  /* The engine is done with the database: close the handle, free ctx. The last call. */
  void (*release)(void *ctx);
} BackstayHost;

typedef struct BackstayOpen {
  const char *path;        /* absolute path of the main database */
  uint64_t device, inode;  /* of the file that host.read() reads; 0, 0: whatever lies at path */
  const char *replica_url; /* the URI parameter `replica`, or NULL */
  /* Further URI parameters: nparam pairs name, value; unknown names that start with
  ** "backstay_" are errors. */
  const char *const *params;
  int nparam;
  BackstayHost host;
} BackstayOpen;

typedef struct BackstayDb BackstayDb; /* opaque; one per database file and process */

enum BackstayLevel { BACKSTAY_DEBUG, BACKSTAY_INFO, BACKSTAY_WARN, BACKSTAY_ERROR };

typedef struct BackstayEngine {
  uint32_t version;
  /* The environment to read settings from: texts NAME=value and NULL behind them, as the host's
  ** was when the shim came in. Copied; the first call counts, and comes before any other. */
  void (*start)(const char *const *environment);
  /* Starts replication of one database; a file that took the place of one that was open before
  ** is another database. 0: *db is set and host belongs to the engine until
  ** release(). Otherwise `error` (capacity n) says why, and is empty if memory or file
  ** descriptors ran out: then it may be asked again; host stays the caller's. */
  int (*open)(const BackstayOpen *options, BackstayDb **db, char *error, size_t n);
  /* 0: the engine has let go of the database, and what is called with `db` does nothing. It may be
  ** opened anew; `db` is to be closed all the same, once no call with it is under way. look: 1
  *finds
  ** out first whether the application has closed descriptors of the engine's. */
  int (*holds)(BackstayDb *db, int look);
  /* Lets go of all databases, so that the application has what they take of descriptors and memory.
  ** Blocks for the time a local write takes, and until the engine's threads have ended, at most
  ** 0.5 s: what waits for a file system that hangs follows later. 1 if there was something. */
  int (*give_back)(void);
  /* The host's last connection in this process is gone (called before its file is closed,
  ** after the WAL is deleted, if it is). The engine finishes on its own, then calls
  ** release(). The caller may do nothing more with `db` than call closed(), once. */
  void (*close)(BackstayDb *db);
  /* After close(), with no lock of the database held: waits until what this process has committed
  ** in it is in every replica, at most the configured close timeout, and not where a wait would
  ** be in vain or the database was opened again. `db` is dead to the caller. */
  void (*closed)(BackstayDb *db);
  /* A transaction ended at *pos. Called while the WAL write lock is still held. max_frame 0: the
  ** WAL was begun anew behind commits of others that were never told, `change` counts them. */
  void (*committed)(BackstayDb *db, const BackstayWalPosition *pos);
  /* The WAL's content is about to be destroyed: waits until every committed frame has been
  ** read, at most timeout_ms. 1 when it has. commit_waits: 1 where a commit is about to begin the
  ** WAL anew. Of a long transaction it waits for the beginning only; the rest is compared. */
  int (*finish_wal)(BackstayDb *db, int timeout_ms, int commit_waits);
  /* A checkpoint is about to overwrite pages of the database file: waits, at most 20 ms (the
  ** first one after open(): 2 s), until what is committed has been compared with them. No promise
  ** hangs on it; it saves bytes and time. */
  void (*checkpoint)(BackstayDb *db);
  /* The WAL was truncated to nothing or deleted, after finish_wal(). */
  void (*wal_gone)(BackstayDb *db);
  /* The first page of a transaction in a rollback-journal mode is about to be written: the
  ** lock is held, the file is still as the last transaction left it. */
  void (*writing)(BackstayDb *db);
  /* That transaction ended, and its lock is still held. */
  void (*written)(BackstayDb *db, const BackstayWrites *writes);
  /* Waits until everything committed before the call is in every replica, at most timeout_ms
  ** (negative: the configured sync timeout). 1 when it is, else 0. BACKSTAY_SYNC_COMMIT: the
  ** wait of a commit itself (durability=sync); when it is in vain, log and status say so. */
  int (*sync)(BackstayDb *db, int timeout_ms);
  /* Status as a JSON text, NUL-terminated, to be freed with free_text(). NULL when out of
  ** memory. */
  char *(*status)(BackstayDb *db);
  void (*free_text)(char *text);
  /* 1 if commits wait for the bucket (durability=sync). */
  int (*is_sync)(BackstayDb *db);
  /* Writes one log line; path may be NULL. */
  void (*log)(int level, const char *path, const char *message);
  /* Ships what is committed in all databases, at most for the configured drain timeout. At
  ** process exit. */
  void (*drain)(void);
  /* In a forked child: forget everything without touching it; no thread of ours exists there. */
  void (*forked)(void);
} BackstayEngine;

typedef const BackstayEngine *(*BackstayEngineFn)(uint32_t version);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* BACKSTAY_UPLOADER_ENGINE_API_H_ */
