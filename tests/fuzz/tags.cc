// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/tags.h"

#include "tests/fuzz/packet_view.h"

namespace penstock::fuzz {
namespace {

constexpr size_t kTagsAt = 12;
constexpr size_t kTagBytes = 4;
constexpr uint16_t kPriority = 0xb000;

bool is_tag(uint16_t type) {
  return type == 0x8100 || type == 0x88a8;
}

}  // namespace

const VlanTags kArrivingTags[4] = {
    {}, {{100, false}}, {{100, true}, {200, false}}, {{100, false}, {200, false}}};

Bytes with_tags(const Bytes& frame, const VlanTags& tags) {
  if (frame.size() < kTagsAt) return frame;
  Bytes words;
  for (const VlanTag& tag : tags) {
    const auto control = static_cast<uint16_t>(kPriority | tag.vlan);
    words.insert(words.end(), {static_cast<uint8_t>(tag.is_service ? 0x88 : 0x81),
                               static_cast<uint8_t>(tag.is_service ? 0xa8 : 0x00),
                               static_cast<uint8_t>(control >> 8), static_cast<uint8_t>(control)});
  }
  Bytes tagged = frame;
  tagged.insert(tagged.begin() + kTagsAt, words.begin(), words.end());
  return tagged;
}

Bytes without_tags(const Bytes& frame, size_t count) {
  Bytes bare = frame;
  const auto first = bare.begin() + kTagsAt;
  bare.erase(first, first + static_cast<ptrdiff_t>(count * kTagBytes));
  return bare;
}

std::optional<VlanTags> tags_of(const Bytes& frame) {
  VlanTags tags;
  size_t at = kTagsAt;
  for (; at + 2 <= frame.size() && is_tag(load16(frame, at)); at += kTagBytes) {
    if (at + kTagBytes > frame.size() || tags.size() == kMaxVlanTags) return std::nullopt;
    const auto vlan = static_cast<uint16_t>(load16(frame, at + 2) & 0xfff);
    if (vlan == 0) return std::nullopt;
    tags.push_back({vlan, load16(frame, at) == 0x88a8});
  }
  if (at + 2 > frame.size()) return std::nullopt;
  const uint16_t type = load16(frame, at);
  return type == 0x0800 || type == 0x86dd ? std::optional(tags) : std::nullopt;
}

}  // namespace penstock::fuzz
