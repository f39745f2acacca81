// SPDX-License-Identifier: Apache-2.0
// Tells of changes of files (inotify(7)), by the directories that they are in: a renewal writes a
// new file and renames it, or turns a symbolic link.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

class FileWatch {
 public:
  // on_change runs on the context's thread, once for what happens within a fifth of a second.
  static Result<FileWatch> open(boost::asio::io_context& context, std::function<void()> on_change);
  FileWatch(FileWatch&&) noexcept;
  FileWatch& operator=(FileWatch&&) noexcept;
  ~FileWatch();

  // These from now on, and what they are links to. A directory that is not there is not watched:
  // call again.
  void follow(const std::vector<std::string>& files);

 private:
  class Impl;
  explicit FileWatch(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace penstock
