// SPDX-License-Identifier: Apache-2.0
// The directory on a bpffs that keeps maps and links alive without a process, and the lock on it.
#pragma once

#include <string>
#include <vector>

#include "dataplane/fd.h"
#include "dataplane/result.h"

namespace penstock {

class PinDirectory {
 public:
  // Makes the directory and takes its lock for as long as the object lives. kConflict: somebody has
  // it. kInvalid: not on a bpffs, and not below /sys/fs/bpf, where one is mounted when it is
  // missing.
  static Result<PinDirectory> open(const std::string& path);

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  bool has(const std::string& name) const;
  std::vector<std::string> names() const;

  // Unpins everything and removes the directory. Links are detached: nothing of ours forwards any
  // more.
  Result<void> remove();

 private:
  PinDirectory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  Fd lock_;
};

}  // namespace penstock
