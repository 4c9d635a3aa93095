// SharedPage: one page of memory that all processes which use a database share, the file `shared`
// of its state folder. Through it those that do not ship wake and ask the one that does.
//
// Owned by Neighbours (engine/). Any thread. Note() and Ask() are called inside the host's commit:
// a few atomic operations, and a system call only when somebody sleeps. The process that holds the
// folder's lock answers; an answer counts only while the holder that was asked is the holder, so
// neither a page that outlived its processes nor one torn by a power cut can say that something is
// done. Fails like open(2): without a page nobody is asked.
//
// The bytes are local to one machine: native byte order, nothing in them outlives a holder.

#ifndef BACKSTAY_UPLOADER_STATE_SHARED_PAGE_H_
#define BACKSTAY_UPLOADER_STATE_SHARED_PAGE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "uploader/base/status.h"

namespace backstay {

class SharedPage {
 public:
  // What can be asked for: kSync: that all which was committed before is in the replica. kRead:
  // that all which the WAL holds was read from it.
  enum Lane { kSync, kRead, kLanes };

  // Maps `folder`/shared, which is made if need be. `holder`: a file that is none of ours is
  // replaced, which only the holder of the folder's lock may do. kInvalid: it is none of ours.
  static Result<std::shared_ptr<SharedPage>> Open(const std::string& folder, bool holder);
  ~SharedPage();
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;

  // The folder (still, or again) has this page under its name.
  bool IsIn(const std::string& folder) const;

  // Who ships: 32 bits that name its replica, and a count of holders. 0: nobody ever did.
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
  // Sleeps until the bell has changed from `bell`.
  void Sleep(uint32_t bell);
  // Wakes who sleeps.
  void Ring();

 private:
  struct Layout;
  SharedPage(Layout* layout, uint64_t device, uint64_t inode)
      : at_(layout), device_(device), inode_(inode) {}

  void Chime();

  Layout* const at_;
  const uint64_t device_;
  const uint64_t inode_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_SHARED_PAGE_H_
