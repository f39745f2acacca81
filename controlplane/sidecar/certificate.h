// SPDX-License-Identifier: Apache-2.0
// What a certificate's file holds, judged before the sidecar is given it: HAProxy refuses a whole
// configuration for one bad file, and clients refuse what HAProxy takes (an expired certificate, a
// chain that leads nowhere).
//
// A file is PEM: the server's certificate, then the intermediate that signed it, then the one that
// signed that; and the private key, before, behind or among them. That nobody trusts the issuer is
// not judged: it is the client's business. Nor are times without `now`, for a file that serves
// already. Pure, but for reading the file.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

using std::chrono::sys_seconds;

struct Certificate {
  std::string path;
  std::vector<std::string> names;  // it stands for: DNS and addresses; the common name without them
  std::string key_type;            // "RSA 2048", "ECDSA P-256", "Ed25519"
  sys_seconds not_before;
  sys_seconds not_after;    // the last second that it is good
  std::string fingerprint;  // SHA-256 of it: "AB:CD:..."
  std::string issuer;       // RFC 2253: "CN=R3,O=Let's Encrypt,C=US"
  bool is_self_signed = false;
  bool has_ocsp_response = false;  // path.ocsp is there: HAProxy staples it

  // Whole days; 0 on its last one, negative behind it.
  int64_t days_left(sys_seconds now) const;
  bool operator==(const Certificate&) const = default;
};

// One file. An error names it and the way out; nothing is judged twice, the first fault tells.
Result<Certificate> read_certificate(const std::string& path, std::optional<sys_seconds> now);

// What HAProxy serves for `crt PATH`: the file, or, when it is not there, PATH.rsa and PATH.ecdsa,
// of which each client gets the one that it can use. An error of one is an error.
Result<std::vector<Certificate>> read_certificates(const std::string& path,
                                                   std::optional<sys_seconds> now);

// The file's text, for read_certificate; `path` names it in errors.
Result<Certificate> parse_certificate(const std::string& path, std::string_view pem,
                                      std::optional<sys_seconds> now);

}  // namespace penstock
