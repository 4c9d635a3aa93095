// How a page of memory gets from the process that made it to those that want to share it: a
// datagram socket with a name in the state folder. Who knocks is handed the page's descriptor; an
// empty datagram wakes the maker.
//
// The page is a sealed memfd: no process can make it smaller, so that no access to a mapping of it
// ends anybody by SIGBUS, which a file cannot promise. A socket in a folder reaches whoever may
// write to it, in other containers too.
//
// Owned by SharedPage. Ring() on any thread, also inside the host's commit: one system call that
// never waits. Wait() on the maker's listening thread. Fails like socket(2), bind(2) and
// connect(2); kNotFound: nobody is behind the door.

#ifndef BACKSTAY_UPLOADER_STATE_PAGE_DOOR_H_
#define BACKSTAY_UPLOADER_STATE_PAGE_DOOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

// A page of `bytes` zeros.
Result<Fd> MakeSealedPage(size_t bytes);

// The maker's side.
class PageDoor {
 public:
  // Gives the socket the name `path`; what had it before is removed.
  static Result<PageDoor> Open(const std::string& path, Fd page);
  // The application has not closed its descriptors.
  bool valid() const { return socket_.valid() && page_.valid(); }
  // Sleeps until somebody rings or knocks, a second at most, and lets in who knocks.
  void Wait() const;
  // Likewise, without sleeping.
  void Answer() const;

 private:
  PageDoor(Fd socket, Fd page) : socket_(std::move(socket)), page_(std::move(page)) {}

  Fd socket_;
  Fd page_;
};

// The other side, and the maker's own way to wake its thread.
class PageBell {
 public:
  static Result<PageBell> At(const std::string& path);
  void Ring() const;
  bool valid() const { return socket_.valid(); }
  // The page, of `bytes` at least; waits for it a second at most.
  Result<Fd> Knock(size_t bytes) const;

 private:
  explicit PageBell(Fd socket) : socket_(std::move(socket)) {}

  Fd socket_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_PAGE_DOOR_H_
