#include "uploader/state/page_door.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr int kKnockMs = 1000;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr char kHere[1] = {'p'};

// One datagram, with a descriptor or without.
class Letter {
 public:
  explicit Letter(size_t bytes) : part_{text_, bytes} {
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
    message_.msg_control = room_;
    message_.msg_controllen = sizeof room_;
    std::memcpy(text_, kHere, sizeof kHere);
  }
  void Enclose(int fd) {
    cmsghdr* head = CMSG_FIRSTHDR(&message_);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
  }
  // What the letter that was received held.
  Fd Enclosed() {
    int fd = -1;
    const cmsghdr* head = CMSG_FIRSTHDR(&message_);
    const bool held = head != nullptr && head->cmsg_level == SOL_SOCKET &&
                      head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof fd);
    if (held) std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return Fd(fd);
  }
  bool Send(const Fd& to) { return sendmsg(to.get(), &message_, kNow | MSG_NOSIGNAL) >= 0; }
  ssize_t Receive(const Fd& from) {
    return recvmsg(from.get(), &message_, kNow | MSG_CMSG_CLOEXEC);
  }

 private:
  static constexpr int kNow = MSG_DONTWAIT;

  char text_[sizeof kHere] = {};
  iovec part_;
  msghdr message_{};
  alignas(cmsghdr) char room_[CMSG_SPACE(sizeof(int))] = {};
};

bool Readable(const Fd& fd, int ms) {
  pollfd one{fd.get(), POLLIN, 0};
  return poll(&one, 1, ms) > 0;
}

Result<Fd> MakeSocket() {
  Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Status::Errno("socket", errno);
  return fd;
}

// bind(2) or connect(2). A path that is too long for an address is given by way of its folder.
template <typename Call>
Status WithAddress(const std::string& path, Call call) {
  Fd folder;
  std::string name = path;
  sockaddr_un address{};
  if (name.size() >= sizeof address.sun_path) {
    Result<Fd> opened = OpenFile(FolderOf(path), O_PATH | O_DIRECTORY);
    if (!opened.ok()) return opened.status();
    folder = std::move(*opened);
    name = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + NameOf(path);
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.c_str(), std::min(name.size(), sizeof address.sun_path - 1));
  if (call(reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return Status::Ok();
  // ECONNREFUSED: its process is gone. EPROTOTYPE: of another kind.
  const bool nobody = errno == ECONNREFUSED || errno == ENOENT;
  if (nobody) return {Code::kNotFound, path + ": nobody answers", true};
  return Status::Errno("socket " + path, errno);
}

}  // namespace

Result<Fd> MakeSealedPage(size_t bytes) {
  Fd page(memfd_create("backstay", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!page.valid()) return Status::Errno("memfd_create", errno);
  const auto size = static_cast<off_t>(bytes);
  BACKSTAY_TRY(CheckSizeLimit(size));
  // With its memory: none is needed at the first access.
  if (ftruncate(page.get(), size) != 0 || fallocate(page.get(), 0, 0, size) != 0 ||
      fcntl(page.get(), F_ADD_SEALS, kSeals) != 0) {
    return Status::Errno("memfd", errno);
  }
  return page;
}

Result<PageDoor> PageDoor::Open(const std::string& path, Fd page) {
  Result<Fd> socket = MakeSocket();
  if (!socket.ok()) return socket.status();
  // Its name gets this mode.
  if (fchmod(socket->get(), 0600) != 0) return Status::Errno("socket " + path, errno);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + path, errno);
  BACKSTAY_TRY(WithAddress(
      path, [&](const sockaddr* address, socklen_t n) { return bind(socket->get(), address, n); }));
  if (Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path)); folder.ok()) {
    folder->GiveSocket(NameOf(path));
  }
  return PageDoor(std::move(*socket), std::move(page));
}

// Not for ever: where the application has closed one of the sockets nobody rings.
void PageDoor::Wait() const {
  constexpr int kLookMs = 1000;
  if (Readable(socket_, kLookMs)) Answer();
}

void PageDoor::Answer() const {
  if (!valid()) return;
  for (;;) {
    Letter knock(sizeof kHere);
    if (knock.Receive(socket_) < 0) return;
    const Fd visitor = knock.Enclosed();
    if (!visitor.valid()) continue;
    Letter answer(sizeof kHere);
    answer.Enclose(page_.get());
    // Who has gone meanwhile gets nothing.
    (void)answer.Send(visitor);
  }
}

Result<PageBell> PageBell::At(const std::string& path) {
  Result<Fd> socket = MakeSocket();
  if (!socket.ok()) return socket.status();
  BACKSTAY_TRY(WithAddress(path, [&](const sockaddr* address, socklen_t n) {
    return connect(socket->get(), address, n);
  }));
  return PageBell(std::move(*socket));
}

// When there is no room the maker has enough to wake up for.
void PageBell::Ring() const { (void)send(socket_.get(), nullptr, 0, MSG_DONTWAIT | MSG_NOSIGNAL); }

Result<Fd> PageBell::Knock(size_t bytes) const {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Status::Errno("socketpair", errno);
  }
  const Fd mine(ends[0]);
  Letter answer(sizeof kHere);
  {
    const Fd theirs(ends[1]);
    Letter knock(sizeof kHere);
    knock.Enclose(theirs.get());
    if (!knock.Send(socket_)) return Status(Code::kNotFound, "nobody answers", true);
  }
  if (!Readable(mine, kKnockMs) || answer.Receive(mine) <= 0) {
    return Status(Code::kNotFound, "nobody answers", true);
  }
  Fd page = answer.Enclosed();
  struct stat info {};
  const bool fits = page.valid() && fstat(page.get(), &info) == 0 &&
                    info.st_size >= static_cast<off_t>(bytes) &&
                    (fcntl(page.get(), F_GET_SEALS) & kSeals) == kSeals;
  if (!fits) return Status(Code::kInvalid, "what answers is not this version of Backstay");
  return page;
}

}  // namespace backstay
