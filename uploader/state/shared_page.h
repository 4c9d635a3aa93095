// SharedPage: one page of memory that all processes which use a database share. Through it those
// that do not ship wake and ask the one that does, which made it and hands it out at the socket
// `shared` of the state folder (page_door.h).
//
// Owned by Neighbours (engine/). Any thread. Note() and Ask() are called inside the host's commit:
// a few atomic operations, and a system call only when somebody sleeps. The process that holds the
// folder's lock answers; an answer counts only while the holder that was asked is the holder, so a
// page that outlived its maker says of nothing that it is done. Fails like socket(2): without a
// page nobody is asked.

#ifndef BACKSTAY_UPLOADER_STATE_SHARED_PAGE_H_
#define BACKSTAY_UPLOADER_STATE_SHARED_PAGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "uploader/base/status.h"
#include "uploader/state/page_door.h"

namespace backstay {

class SharedPage {
 public:
  // What can be asked for: kSync: that all which was committed before is in the replica. kRead:
  // that all which the WAL holds was read from it.
  enum Lane { kSync, kRead, kLanes };

  // `holder`: makes a page for `folder`, in place of the one that is there, which only the holder
  // of the folder's lock may do. Else asks for it, a second at most. kNotFound: nobody has made one
  // (yet), or its maker is gone. kInvalid: what is there is none of ours.
  static Result<std::shared_ptr<SharedPage>> Open(const std::string& folder, bool holder);
  ~SharedPage();
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;

  // This page is (still) the one that the folder leads to, and can be rung and handed out.
  bool IsIn(const std::string& folder) const;
  // Its maker, while it holds the lock: takes the name out of the folder, if it is its own, and
  // wakes those who wait, for whom the lock is free in a moment.
  void Leave(const std::string& folder);

  // Who ships: 32 bits that name its replica, and a count of holders. 0: nobody yet, or no more.
  uint64_t holder() const;
  static uint32_t ReplicaOf(uint64_t holder) { return static_cast<uint32_t>(holder >> 32); }
  // That holder has given up for good.
  static bool GaveUp(uint64_t holder) { return (holder & 1) != 0; }

  // Processes that do not ship.
  struct Ticket {
    uint64_t holder = 0;
    uint64_t number = 0;
  };
  // Something was committed. `commit` names it, so that others who saw it too say nothing; 0: it
  // has no name.
  void Note(uint64_t commit);
  Ticket Ask(Lane lane);
  bool Answered(Lane lane, const Ticket& ticket) const;
  // Sleeps until something changes, at most `ms`; true when the ticket is answered by then.
  bool Wait(Lane lane, const Ticket& ticket, int64_t ms);

  // The holder of the folder's lock. Begins to ship to this replica: answers of others count no
  // more.
  void Take(uint32_t replica);
  void GiveUp();
  // A commit of its own, of which nobody has to be told.
  void Know(uint64_t commit);
  // The last ticket that was asked for.
  uint64_t asked(Lane lane) const;
  // All tickets up to this one are answered.
  void Answer(Lane lane, uint64_t number);
  // Changes with every note and ticket.
  uint32_t bell() const;
  // Its maker: hands the page to those who ask for it until the bell has changed from `bell`.
  void Sleep(uint32_t bell);
  // Wakes who sleeps.
  void Ring();

 private:
  struct Layout;
  // Which socket it is: an inode's number alone is soon that of another one.
  struct Name {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t ctime_ns = 0;

    bool operator==(const Name& other) const {
      return device == other.device && inode == other.inode && ctime_ns == other.ctime_ns;
    }
  };
  SharedPage(Layout* layout, const Name& name, PageBell bell, std::optional<PageDoor> door)
      : at_(layout), name_(name), bell_(std::move(bell)), door_(std::move(door)) {}

  static Name NameIn(const std::string& folder);
  static Result<std::shared_ptr<SharedPage>> Make(const std::string& folder);
  static Result<std::shared_ptr<SharedPage>> Join(const std::string& folder);
  static Result<Layout*> Map(const Fd& page);
  void Chime();

  Layout* const at_;
  const Name name_;
  const PageBell bell_;
  const std::optional<PageDoor> door_;  // of its maker
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_SHARED_PAGE_H_
