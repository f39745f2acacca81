// SPDX-License-Identifier: Apache-2.0
// How much memory the tables take, and which tables may be taken over.
#include "dataplane/tables/layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>

namespace penstock {
namespace {

TEST(TableLayouts, KeepWithinTheBytesPerFlow) {
  for (const uint32_t entries : {1024u, 16384u, 1048576u, 16777216u}) {
    uint64_t ipv4 = 0;
    uint64_t ipv6 = 0;
    for (const TableLayout& table : table_layouts({entries, 64, 256}, 2)) {
      const std::string name = table.name;
      const uint64_t bytes = uint64_t{table.elements} * table.element_bytes;
      if (name == "flow_index4" || name == "flows4") ipv4 += bytes;
      if (name == "flow_index6" || name == "flows6") ipv6 += bytes;
    }
    const double per_ipv4 = static_cast<double>(ipv4) / entries;
    const double per_ipv6 = static_cast<double>(ipv6) / entries;
    std::printf("%u entries: %.1f bytes an IPv4 flow, %.1f an IPv6 flow\n", entries, per_ipv4,
                per_ipv6);
    EXPECT_GT(per_ipv4, 0);
    EXPECT_LE(per_ipv4, 64);
    EXPECT_GT(per_ipv6, 0);
    EXPECT_LE(per_ipv6, 128);
  }
}

TEST(TableLayouts, GiveEveryTableElementsOfWholeWords) {
  std::set<std::string> names;
  for (const TableLayout& table : table_layouts({16384, 64, 256}, 3)) {
    EXPECT_TRUE(names.insert(table.name).second) << table.name;
    EXPECT_LT(std::string(table.name).size(), 16u) << "the kernel cuts a map's name";
    EXPECT_GT(table.elements, 0u) << table.name;
    EXPECT_EQ(table.element_bytes % 8, 0u) << table.name;
  }
}

TEST(AnonymousTables, AreEmptyAndWritableToTheirLastByte) {
  const TableSizes sizes{1024, 8, 16};
  const AnonymousTables memory(sizes, 2);
  const ps_tables& tables = memory.tables();
  EXPECT_TRUE(check_control(*tables.control, sizes, 2));
  EXPECT_EQ(tables.control->generation, 0u);
  std::memset(tables.reasons + 2 * 8 - 1, 0xff, sizeof(ps_reason_counts));
  std::memset(tables.backends + PS_GENERATIONS * 16 - 1, 0xff, sizeof(ps_backend));
  EXPECT_EQ(tables.flows4[PS_FLOW_SETS(1024) - 1].way[PS_FLOW_WAYS - 1].word, 0u);
  EXPECT_EQ(tables.flows6[PS_FLOW_SETS(1024) - 1].way[PS_FLOW_WAYS - 1].flow.word, 0u);
}

TEST(CheckControl, RefusesTablesOfOtherSizesAndSaysWhich) {
  const TableSizes sizes{1024, 8, 16};
  const AnonymousTables memory(sizes, 2);
  const ps_control& control = *memory.tables().control;
  const auto expect_refused = [&](const TableSizes& wanted, uint32_t workers, const char* key) {
    const auto checked = check_control(control, wanted, workers);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().kind, ErrorKind::kConflict);
    EXPECT_NE(checked.error().message.find(key), std::string::npos) << checked.error().message;
  };
  expect_refused({2048, 8, 16}, 2, "flow_table_entries");
  expect_refused({1024, 9, 16}, 2, "max_services");
  expect_refused({1024, 8, 17}, 2, "max_backends");
  expect_refused({1024, 8, 16, 0, 0, 64}, 2, "access_nodes");
  expect_refused({1024, 8, 16}, 3, "processors");
}

TEST(CheckControl, RefusesAnotherLayout) {
  const TableSizes sizes{1024, 8, 16};
  const AnonymousTables memory(sizes, 1);
  memory.tables().control->layout_version++;
  const auto checked = check_control(*memory.tables().control, sizes, 1);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message.find("layout"), std::string::npos);
}

}  // namespace
}  // namespace penstock
