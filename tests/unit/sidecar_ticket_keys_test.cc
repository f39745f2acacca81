// SPDX-License-Identifier: Apache-2.0
// The keys of session tickets, as their file has them.
#include "controlplane/sidecar/ticket_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TicketKeys some_keys() {
  return {make_ticket_key().value(), make_ticket_key().value(), make_ticket_key().value()};
}

TEST(TicketKeys, AreEightyBytesInBase64AndNoTwoAlike) {
  const TicketKeys keys = some_keys();
  EXPECT_EQ(keys[0].size(), 108u);
  EXPECT_EQ(keys[0].back(), '=');
  EXPECT_NE(keys[0], keys[1]);
}

TEST(TicketKeys, LoseTheirOldestWithARotation) {
  EXPECT_THAT(rotate({"a", "b", "c"}, "d"), ElementsAre("b", "c", "d"));
}

TEST(TicketKeys, AreReadAsTheyWereWritten) {
  const TicketKeys keys = some_keys();
  EXPECT_EQ(parse_ticket_keys(to_text(keys)), keys);
}

TEST(TicketKeys, AreNoneWhenTheFileIsNotWhole) {
  const std::string text = to_text(some_keys());
  EXPECT_THAT(parse_ticket_keys(""), IsEmpty());
  EXPECT_THAT(parse_ticket_keys(text.substr(0, text.size() - 5)), IsEmpty());
  EXPECT_THAT(parse_ticket_keys(text.substr(109)), IsEmpty());
}

}  // namespace
}  // namespace penstock
