// SPDX-License-Identifier: Apache-2.0
// bpffs housekeeping. The lock is flock(2) on the directory itself, so it needs no file and dies
// with the process.
#include "dataplane/xdp/pin_directory.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>

#include "dataplane/xdp/links.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStandardMount = "/sys/fs/bpf";

bool is_bpffs(const fs::path& path) {
  struct statfs info {};
  return statfs(path.c_str(), &info) == 0 && info.f_type == static_cast<long>(BPF_FS_MAGIC);
}

fs::path nearest_existing(fs::path path) {
  std::error_code ignored;
  while (!path.empty() && path != path.root_path() && !fs::exists(path, ignored)) {
    path = path.parent_path();
  }
  return path;
}

Result<void> ensure_bpffs(const std::string& path) {
  if (is_bpffs(nearest_existing(path))) return {};
  if (path.rfind(std::string(kStandardMount) + "/", 0) == 0) {
    if (mount("bpf", kStandardMount, "bpf", 0, "mode=0700") == 0) return {};
    return fail_errno(fmt::format("cannot mount a bpffs at {}", kStandardMount), errno);
  }
  return fail(
      ErrorKind::kInvalid,
      fmt::format("pin_path {} is not on a bpffs: mount one there with `mount -t bpf bpf {}`, or "
                  "choose a path below {}",
                  path, fs::path(path).parent_path().string(), kStandardMount));
}

}  // namespace

Result<PinDirectory> PinDirectory::open(const std::string& path) {
  if (auto ready = ensure_bpffs(path); !ready) return tl::unexpected(ready.error());
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return fail_errno(fmt::format("cannot make {}", path), error.value());

  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno(fmt::format("cannot open {}", path), errno);
  if (flock(directory.get(), LOCK_EX | LOCK_NB) == 0) {
    return PinDirectory(path, std::move(directory));
  }
  if (errno != EWOULDBLOCK) return fail_errno(fmt::format("cannot lock {}", path), errno);
  return fail(
      ErrorKind::kConflict,
      fmt::format("another penstock daemon runs with pin_path {}: stop it first, or give this one "
                  "a pin_path, a control socket and an interface of its own",
                  path));
}

bool PinDirectory::has(const std::string& name) const {
  std::error_code ignored;
  return fs::exists(file(name), ignored);
}

std::vector<std::string> PinDirectory::names() const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path_, ignored)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

Result<void> PinDirectory::remove() {
  for (const std::string& name : names()) {
    if (is_link_pin(name)) detach_pinned_link(file(name));
    if (unlink(file(name).c_str()) != 0 && errno != ENOENT) {
      return fail_errno(fmt::format("cannot unpin {}", file(name)), errno);
    }
  }
  if (rmdir(path_.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(fmt::format("cannot remove {}", path_), errno);
  }
  return {};
}

}  // namespace penstock
