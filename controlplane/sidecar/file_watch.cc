// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/file_watch.h"

#include <sys/inotify.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <set>

namespace penstock {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr uint32_t kChanges =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB;
constexpr std::chrono::milliseconds kTogether{200};

}  // namespace

class FileWatch::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& context, int fd, std::function<void()> on_change)
      : stream_(context, fd), later_(context), on_change_(std::move(on_change)) {}

  void read() {
    stream_.async_read_some(asio::buffer(buffer_),
                            [self = weak_from_this()](const auto& error, size_t) {
                              const auto here = self.lock();
                              if (!here || error) return;
                              here->tell_later();
                              here->read();
                            });
  }

  void follow(const std::vector<std::string>& files) {
    std::set<std::string> directories;
    for (const std::string& file : files) {
      std::error_code ignored;
      directories.insert(fs::path(file).parent_path());
      directories.insert(fs::weakly_canonical(file, ignored).parent_path());
    }
    // One that is watched already keeps its number. What is not removed tells of no removal: that
    // would be a change to whoever follows anew with each one.
    std::set<int> watches;
    for (const std::string& directory : directories) {
      const int watch = inotify_add_watch(stream_.native_handle(), directory.c_str(), kChanges);
      if (watch >= 0) watches.insert(watch);
    }
    for (const int watch : watches_) {
      if (!watches.contains(watch)) inotify_rm_watch(stream_.native_handle(), watch);
    }
    watches_ = std::move(watches);
  }

 private:
  void tell_later() {
    if (is_waiting_) return;
    is_waiting_ = true;
    later_.expires_after(kTogether);
    later_.async_wait([self = weak_from_this()](const auto& error) {
      const auto here = self.lock();
      if (!here || error) return;
      here->is_waiting_ = false;
      here->on_change_();
    });
  }

  asio::posix::stream_descriptor stream_;
  asio::steady_timer later_;
  std::function<void()> on_change_;
  alignas(inotify_event) std::array<char, 4096> buffer_{};  // what it says is not looked at
  std::set<int> watches_;
  bool is_waiting_ = false;
};

FileWatch::FileWatch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileWatch::FileWatch(FileWatch&&) noexcept = default;
FileWatch& FileWatch::operator=(FileWatch&&) noexcept = default;
FileWatch::~FileWatch() = default;

Result<FileWatch> FileWatch::open(asio::io_context& context, std::function<void()> on_change) {
  const int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return fail_errno("cannot watch files", errno);
  auto impl = std::make_shared<Impl>(context, fd, std::move(on_change));
  impl->read();
  return FileWatch(std::move(impl));
}

void FileWatch::follow(const std::vector<std::string>& files) {
  impl_->follow(files);
}

}  // namespace penstock
