// SPDX-License-Identifier: Apache-2.0
// Straight on the system calls, since streams do not tell why they fail.
#include "controlplane/config/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace penstock {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

tl::expected<std::string, std::error_code> read_text_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(std::error_code(errno, std::generic_category()));
  std::string text;
  std::array<char, 16384> buffer;
  ssize_t length = 0;
  while ((length = read(fd, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(length));
  }
  const std::error_code error(errno, std::generic_category());
  close(fd);
  if (length < 0) return tl::unexpected(error);
  return text;
}

Result<void> replace_text_file(const std::string& path, std::string_view text) {
  const std::string beside = path + ".new";
  const int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail_errno("cannot write " + beside, errno);
  const bool written = write_all(fd, text) && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (!written) return fail_errno("cannot write " + beside, error);
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return fail_errno("cannot rename " + beside, errno);
  }
  return {};
}

}  // namespace penstock
