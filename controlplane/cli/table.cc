// SPDX-License-Identifier: Apache-2.0
// Widths first, then the lines.
#include "controlplane/cli/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock {
namespace {

std::string padded(const Cell& cell, size_t width) {
  const std::string text = cell.right ? fmt::format("{:>{}}", cell.text, width)
                                      : fmt::format("{:<{}}", cell.text, width);
  return cell.escape ? fmt::format("\033[{}m{}\033[0m", cell.escape, text) : text;
}

}  // namespace

std::string align(const std::vector<Row>& rows, const std::string& indent) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].text.size());
  }
  std::string lines;
  for (const Row& row : rows) {
    std::string line = indent;
    for (size_t i = 0; i < row.size(); i++) {
      const bool last = i + 1 == row.size();
      line += padded(row[i], last && !row[i].right ? 0 : widths[i]) + (last ? "" : "  ");
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines += line + "\n";
  }
  return lines;
}

}  // namespace penstock
