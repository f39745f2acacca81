// SPDX-License-Identifier: Apache-2.0
// Text forms of addresses, there and back.
#include "dataplane/address.h"

#include <gtest/gtest.h>

#include "dataplane/access_rules.h"
#include "dataplane/core/reasons.h"
#include "dataplane/reason_text.h"
#include "dataplane/tables/convert.h"

namespace penstock {
namespace {

TEST(IpAddress, IsReadAndWritten) {
  for (const char* text : {"0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1",
                           "fe80::1234:5678:9abc:def0", "::ffff:10.0.0.1"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
    EXPECT_EQ(from_wire(family_number(*address), to_wire(*address)), *address);
  }
}

TEST(IpAddress, RefusesWhatIsNone) {
  for (const char* text : {"", " ", "10.0.0", "10.0.0.256", "10.0.0.1 ", "10.0.0.1/24", "[::1]",
                           "fe80::1%eth0", "2001:db8:::1", "localhost"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(IpAddress, OfDifferentFamiliesDiffer) {
  EXPECT_NE(*IpAddress::parse("0.0.0.0"), *IpAddress::parse("::"));
}

TEST(Endpoint, IsReadAndWritten) {
  for (const char* text : {"10.0.0.1:3000", "[2001:db8::1]:80", "[::]:1", "0.0.0.0:65535"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(to_string(*endpoint), text);
  }
}

TEST(Endpoint, RefusesWhatIsNone) {
  for (const char* text :
       {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:-1",
        "10.0.0.1:+80", "10.0.0.1: 80", "10.0.0.1:80x", "[10.0.0.1]:80", "2001:db8::1:80", "[]:80",
        "[2001:db8::1]80", "2001:db8::1]:80", "[2001:db8::1:80"}) {
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  }
}

TEST(IpPrefix, IsReadAndWritten) {
  for (const char* text : {"198.51.100.0/22", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/33",
                           "2001:db8::1/128", "::/0"}) {
    const auto prefix = IpPrefix::parse(text);
    ASSERT_TRUE(prefix) << text;
    EXPECT_EQ(to_string(*prefix), text);
  }
  EXPECT_EQ(to_string(*IpPrefix::parse("10.0.0.1")), "10.0.0.1/32");
  EXPECT_EQ(to_string(*IpPrefix::parse("2001:db8::1")), "2001:db8::1/128");
}

TEST(IpPrefix, RefusesWhatIsNone) {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",
                           "10.0.0.1/31", "2001:db8::/129", "2001:db8::1/64", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(IpPrefix::parse(text)) << text;
  }
}

TEST(IpPrefix, HasTheAddressesThatBeginAsItDoes) {
  const auto has = [](const char* prefix, const char* address) {
    return IpPrefix::parse(prefix)->has(*IpAddress::parse(address));
  };
  EXPECT_TRUE(has("198.51.100.0/22", "198.51.103.255"));
  EXPECT_FALSE(has("198.51.100.0/22", "198.51.104.0"));
  EXPECT_FALSE(has("198.51.100.0/24", "198.51.101.0"));
  EXPECT_TRUE(has("10.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(has("10.0.0.1", "10.0.0.0"));
  EXPECT_TRUE(has("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(has("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(has("0.0.0.0/0", "198.51.100.1"));
  EXPECT_FALSE(has("0.0.0.0/0", "::1"));
}

TEST(LongestMatch, IsTheLongestPrefixThatHasTheAddress) {
  const std::vector<IpPrefix> prefixes = {*IpPrefix::parse("10.0.0.0/8"),
                                          *IpPrefix::parse("10.1.0.0/16"),
                                          *IpPrefix::parse("10.0.0.0/15")};
  EXPECT_EQ(longest_match(prefixes, *IpAddress::parse("10.1.2.3")), prefixes[1]);
  EXPECT_EQ(longest_match(prefixes, *IpAddress::parse("10.0.0.1")), prefixes[2]);
  EXPECT_EQ(longest_match(prefixes, *IpAddress::parse("11.0.0.1")), std::nullopt);
}

TEST(MacAddress, IsWrittenWithColons) {
  EXPECT_EQ(to_string(MacAddress{{0x02, 0, 0xab, 0xff, 9, 0x10}}), "02:00:ab:ff:09:10");
}

TEST(ReasonText, IsThereForEveryReason) {
#define PS_REASON_HAS_TEXT(name, verdict, text) EXPECT_EQ(reason_text(#name), text);
  PS_REASONS(PS_REASON_HAS_TEXT)
#undef PS_REASON_HAS_TEXT
  EXPECT_EQ(reason_text("no such reason"), "");
}

}  // namespace
}  // namespace penstock
