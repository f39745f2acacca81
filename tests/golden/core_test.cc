// SPDX-License-Identifier: Apache-2.0
// The golden packets through the core, compiled into this process.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "tests/golden/core_executor.h"

namespace penstock::golden {
namespace {

TEST(Corpus, IsWhatTheCasesSay) {
  if (std::system("/usr/bin/python3 -c 'import scapy' 2>/dev/null") != 0) {
    GTEST_SKIP() << "needs python3-scapy to generate the corpus";
  }
  std::FILE* pipe = popen("/usr/bin/python3 -B " PENSTOCK_GOLDEN_DIRECTORY "/cases.py", "r");
  ASSERT_NE(pipe, nullptr);
  std::string generated;
  char part[65536];
  while (const size_t bytes = std::fread(part, 1, sizeof part, pipe)) generated.append(part, bytes);
  ASSERT_EQ(pclose(pipe), 0);
  std::ifstream file(PENSTOCK_GOLDEN_DIRECTORY "/corpus.json");
  const std::string committed{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(generated == committed) << "run tests/golden/cases.py > tests/golden/corpus.json";
}

}  // namespace
}  // namespace penstock::golden

int main(int argc, char** argv) {
  using namespace penstock;
  return golden::run_corpus(argc, argv, "GoldenCore", golden::open_core);
}
