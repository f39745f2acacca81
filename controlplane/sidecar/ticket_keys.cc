// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/ticket_keys.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <sstream>

namespace penstock {
namespace {

constexpr size_t kKeyBytes = 80;  // for AES-256
constexpr size_t kKeyText = 108;  // base64 of them

}  // namespace

Result<std::string> make_ticket_key() {
  std::array<unsigned char, kKeyBytes> random{};
  if (RAND_bytes(random.data(), random.size()) != 1) {
    return fail(ErrorKind::kSystem, "cannot make a key for session tickets");
  }
  std::array<unsigned char, kKeyText + 1> text{};
  EVP_EncodeBlock(text.data(), random.data(), random.size());
  return std::string(text.begin(), text.end() - 1);
}

TicketKeys rotate(TicketKeys keys, std::string next) {
  if (keys.size() >= kTicketKeys) keys.erase(keys.begin());
  keys.push_back(std::move(next));
  return keys;
}

std::string to_text(const TicketKeys& keys) {
  std::string text;
  for (const std::string& key : keys) text += key + "\n";
  return text;
}

TicketKeys parse_ticket_keys(const std::string& text) {
  TicketKeys keys;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) keys.push_back(line);
  const bool is_whole =
      keys.size() == kTicketKeys &&
      std::all_of(keys.begin(), keys.end(), [](const auto& key) { return key.size() == kKeyText; });
  return is_whole ? keys : TicketKeys{};
}

}  // namespace penstock
