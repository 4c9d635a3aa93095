#include "uploader/base/thread.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/base/no_signals.h"

namespace backstay {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStackBytes = 8 << 20;
#else
constexpr size_t kStackBytes = 1 << 20;
#endif

// The least stack of a thread here: the thread-local variables of all libraries that came with the
// program lie on it. The C library has no public word for it.
size_t LeastStack(const pthread_attr_t* attributes) {
  using Least = size_t (*)(const pthread_attr_t*);
  static const auto least = reinterpret_cast<Least>(dlsym(RTLD_DEFAULT, "__pthread_get_minstack"));
  return least != nullptr ? least(attributes) : static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN));
}

// Memory for a stack, with a page below it that ends whoever runs out of it.
class Stack {
 public:
  explicit Stack(size_t bytes) : guard_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    bytes_ = (bytes + guard_ - 1) / guard_ * guard_;
    base_ = mmap(nullptr, guard_ + bytes_, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (base_ != MAP_FAILED && mprotect(lowest(), bytes_, PROT_READ | PROT_WRITE) != 0) Unmap();
  }
  ~Stack() { Unmap(); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  bool ok() const { return base_ != MAP_FAILED; }
  void* lowest() const { return static_cast<char*>(base_) + guard_; }
  size_t bytes() const { return bytes_; }

 private:
  void Unmap() {
    if (ok()) munmap(base_, guard_ + bytes_);
    base_ = MAP_FAILED;
  }

  const size_t guard_;
  size_t bytes_ = 0;
  void* base_ = MAP_FAILED;
};

}  // namespace

std::atomic<size_t> Thread::stack_bytes{kStackBytes};

struct Thread::Run {
  Run(std::function<void()> does, size_t stack_bytes) : body(std::move(does)), stack(stack_bytes) {}

  std::function<void()> body;
  Stack stack;
  pthread_t id{};
  std::atomic<bool> over{false};
};

Thread::Thread() noexcept = default;
Thread::Thread(Thread&&) noexcept = default;
Thread::~Thread() { Join(); }

bool Thread::Start(const char* name, std::function<void()> body) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  Status started = Caught([&]() -> Status {
    Status none(Code::kUnavailable, "no thread");
    auto run = std::make_unique<Run>(std::move(body), stack_bytes + LeastStack(&attributes));
    if (!run->stack.ok()) return none;
    pthread_attr_setstack(&attributes, run->stack.lowest(), run->stack.bytes());
    const std::string short_name = std::string(name).substr(0, 15);
    NoSignals quiet;
    if (pthread_create(&run->id, &attributes, Main, run.get()) != 0) return none;
    pthread_setname_np(run->id, short_name.c_str());
    run_ = std::move(run);
    return Status::Ok();
  });
  pthread_attr_destroy(&attributes);
  return started.ok();
}

void* Thread::Main(void* run) {
  auto* self = static_cast<Run*>(run);
  // Whatever happens ends our thread at most, never the host.
  (void)Caught([self] { return self->body(), Status::Ok(); });
  self->over = true;
  return nullptr;
}

bool Thread::over() const { return run_ == nullptr || run_->over; }

void Thread::Join() {
  if (run_ == nullptr) return;
  pthread_join(run_->id, nullptr);
  run_.reset();
}

}  // namespace backstay
