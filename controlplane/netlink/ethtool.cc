// SPDX-License-Identifier: Apache-2.0
// The kernel fills in buffers that are a header with an array behind it (linux/ethtool.h).
#include "controlplane/netlink/ethtool.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "dataplane/fd.h"

namespace penstock {
namespace {

class Ethtool {
 public:
  explicit Ethtool(std::string interface)
      : interface_(std::move(interface)), socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

  Result<void> ask(void* question) const {
    ifreq request{};
    interface_.copy(request.ifr_name, IF_NAMESIZE - 1);
    request.ifr_data = static_cast<char*>(question);
    if (ioctl(socket_.get(), SIOCETHTOOL, &request) == 0) return {};
    return fail_errno("cannot read the offloads of " + interface_, errno);
  }

 private:
  std::string interface_;
  Fd socket_;
};

// A Header with `count` Elements behind it, zeroed.
template <typename Header, typename Element>
class Question {
 public:
  explicit Question(size_t count)
      : words_((sizeof(Header) + count * sizeof(Element) + sizeof(uint64_t) - 1) /
               sizeof(uint64_t)) {}

  Header* operator->() { return static_cast<Header*>(get()); }
  void* get() { return words_.data(); }
  Element element(size_t index) const {
    Element value;
    const auto* bytes = reinterpret_cast<const char*>(words_.data());
    std::memcpy(&value, bytes + sizeof(Header) + index * sizeof value, sizeof value);
    return value;
  }

 private:
  std::vector<uint64_t> words_;  // for the alignment
};

Result<uint32_t> count_features(const Ethtool& ethtool) {
  Question<ethtool_sset_info, uint32_t> question(1);
  question->cmd = ETHTOOL_GSSET_INFO;
  question->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
  if (auto asked = ethtool.ask(question.get()); !asked) return tl::unexpected(asked.error());
  return question->sset_mask == 0 ? 0 : question.element(0);
}

struct FeatureName {
  char text[ETH_GSTRING_LEN];
};

}  // namespace

Result<Features> read_features(const std::string& interface) {
  const Ethtool ethtool(interface);
  const auto count = count_features(ethtool);
  if (!count) return tl::unexpected(count.error());

  Question<ethtool_gstrings, FeatureName> names(*count);
  names->cmd = ETHTOOL_GSTRINGS;
  names->string_set = ETH_SS_FEATURES;
  names->len = *count;
  if (auto asked = ethtool.ask(names.get()); !asked) return tl::unexpected(asked.error());

  const uint32_t words = (*count + 31) / 32;
  Question<ethtool_gfeatures, ethtool_get_features_block> bits(words);
  bits->cmd = ETHTOOL_GFEATURES;
  bits->size = words;
  if (auto asked = ethtool.ask(bits.get()); !asked) return tl::unexpected(asked.error());

  Features features;
  for (uint32_t i = 0; i < *count; i++) {
    const FeatureName name = names.element(i);
    const ethtool_get_features_block block = bits.element(i / 32);
    const std::string text(name.text, strnlen(name.text, sizeof name.text));
    if (block.active >> i % 32 & 1) features.on.insert(text);
    if (block.available >> i % 32 & 1) features.changeable.insert(text);
  }
  return features;
}

Result<std::string> read_driver(const std::string& interface) {
  ethtool_drvinfo question{};
  question.cmd = ETHTOOL_GDRVINFO;
  if (auto asked = Ethtool(interface).ask(&question); !asked) {
    return tl::unexpected(asked.error());
  }
  return std::string(question.driver, strnlen(question.driver, sizeof question.driver));
}

}  // namespace penstock
