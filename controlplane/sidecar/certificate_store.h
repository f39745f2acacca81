// SPDX-License-Identifier: Apache-2.0
// The certificates that HAProxy serves: copies of the operator's files, each judged before it is
// taken (certificate.h). HAProxy reads nothing else, so a file that is broken, half-written or gone
// changes nothing: the copy before serves on.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "controlplane/sidecar/certificate.h"

namespace penstock {

// What became of a certificate when it was looked at again.
enum class Renewal : uint8_t { kSame, kRenewed };

class CertificateStore {
 public:
  // `directory` exists; the copies are readable by `group` too.
  CertificateStore(std::string directory, gid_t group);

  // The copy of a certificate, which may not be there yet.
  std::string copy_of(const std::string& path) const;

  // Takes the file, its .rsa and .ecdsa if it is not there, and its .ocsp. On failure the copies
  // are as before.
  Result<Renewal> take(const std::string& path, sys_seconds now);

  // Whether there is a copy that serves, of this start or of one before.
  bool has(const std::string& path) const { return served_.contains(path); }
  // Finds what an earlier start has left: it serves on, whatever became of the file.
  void adopt(const std::string& path);
  // All others are removed.
  void keep_only(const std::vector<std::string>& paths);

  // The files that HAProxy has of it, and what is in them.
  std::map<std::string, std::string> files(const std::string& path) const;
  // Of the copies, named by the operator's files.
  const std::map<std::string, std::vector<Certificate>>& served() const { return served_; }

 private:
  std::string directory_;
  gid_t group_;
  std::map<std::string, std::vector<Certificate>> served_;  // by the operator's path
};

}  // namespace penstock
