// SPDX-License-Identifier: Apache-2.0
// The blocks of a PEM text: certificates in their order, and the first private key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/sidecar/openssl.h"
#include "dataplane/result.h"

namespace penstock {

struct PemFile {
  std::vector<OpenSslPtr<X509>> chain;  // at least one, the server's first
  OpenSslPtr<EVP_PKEY> key;
};

// `path` names the file in errors: without a certificate or a key, encrypted, damaged.
Result<PemFile> parse_pem(const std::string& path, std::string_view pem);

}  // namespace penstock
