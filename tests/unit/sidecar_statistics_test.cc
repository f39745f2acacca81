// SPDX-License-Identifier: Apache-2.0
// HAProxy's answers, as 2.6 gives them.
#include "controlplane/sidecar/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(SidecarStatistics, AreTheNumbersOfInfo) {
  EXPECT_THAT(parse_info("Name: HAProxy\nPid: 4711\nUptime: 0d 0h00m03s\nCurrSslConns: 12\n\n"),
              ElementsAre(Pair("CurrSslConns", 12), Pair("Pid", 4711)));
}

TEST(SidecarStatistics, AreRowsByTheNamesOfTheHeading) {
  const auto rows = parse_stat(
      "# pxname,svname,qcur,scur,ereq,\n"
      "tls.web,FRONTEND,,3,7,\n"
      "onward.web,penstock,0,2,,\n\n");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].at("pxname"), "tls.web");
  EXPECT_EQ(rows[0].at("scur"), "3");
  EXPECT_EQ(rows[0].at("qcur"), "");
  EXPECT_EQ(rows[1].at("svname"), "penstock");
}

TEST(SidecarStatistics, AreAShortRowsFieldsAndNoMore) {
  const auto rows = parse_stat("# pxname,svname,scur,\ntls.web,FRONTEND\nnonsense\n");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_FALSE(rows[0].contains("scur"));
}

TEST(SidecarStatistics, AreTheConnectionsOfATablesKeys) {
  EXPECT_THAT(parse_table("# table: tls_versions, type: string, size:16, used:2\n"
                          "0x5581: key=TLSv1.2 use=0 exp=0 conn_cnt=3\n"
                          "0x5582: key=TLSv1.3 use=1 exp=0 conn_cnt=250\n\n"),
              ElementsAre(Pair("TLSv1.2", 3), Pair("TLSv1.3", 250)));
}

TEST(SidecarStatistics, AreNothingOfAnAnswerThatIsNone) {
  EXPECT_THAT(parse_info("Unknown command\n"), IsEmpty());
  EXPECT_THAT(parse_stat("Permission denied\n"), IsEmpty());
  EXPECT_THAT(parse_table("No such table\n"), IsEmpty());
}

}  // namespace
}  // namespace penstock
